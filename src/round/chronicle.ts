import * as dagCbor from '@ipld/dag-cbor'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { MessageError } from '../errors.ts'
import type { Journal, JournalOperation } from '../journal/journal.ts'
import { genesisBeacon } from '../membership/beacon.ts'
import { decodeDeck, deckHash, encodeDeck, initialDeck } from '../membership/deck.ts'
import type { Deck } from '../membership/deck.ts'
import { decodeRoster, encodeRoster, rosterHeadOf } from '../membership/roster-bytes.ts'
import { createRoster } from '../membership/roster.ts'
import type { Roster } from '../membership/roster.ts'
import { deckAfter, succeed, unchanged } from '../membership/succession.ts'
import type { Succession } from '../membership/succession.ts'
import type { Task } from '../task/task.ts'
import { closingValue, followChain, readClosing } from './chain.ts'
import type { EpochLink } from './chain.ts'
import { sameBytes } from './dealing.ts'
import { decodeMessage, MAX_MESSAGE_BYTES } from './messages.ts'
import type { Body, Message } from './messages.ts'

/** The rounds that are over, as far as they decide what comes next. */
export interface Closed {
  round: number
  decision: Message<'Decision'> | null
  beacon: Uint8Array
  /** In the indices of the roster that is in effect in the next round. */
  deck: Deck
}

/**
 * An epoch as it is kept for ever: what made and began it, and the deck after a round that it is known of: what began it,
 * or where this member came later, the closing `at` which it did.
 */
type EpochRecord = EpochLink & { deck: Uint8Array; at?: Uint8Array }

/** The closing decisions of more rounds than two cycles have; with them absences are shown. */
const ROUNDS_KEPT = 256

/** Of the answer to a member that was away; the rest of a longer chain it asks for again. */
const MOST_CHAIN_BYTES = MAX_MESSAGE_BYTES / 2

const padded = (round: number) => String(round).padStart(15, '0')
const closedRecord = (taskId: string) => `${taskId}/closed`
const epochRecord = (taskId: string, epoch: number) => `${taskId}/epoch/${padded(epoch)}`
const closingRecord = (taskId: string, round: number) => `${taskId}/closing/${padded(round)}`
const namedPrefix = (taskId: string) => `${taskId}/named/`

const rosters = new WeakMap<Task, Roster>()

/** The roster that the task begins with; its keys are checked once, however many members run in this process. */
function genesisRoster(task: Task): Roster {
  const roster = rosters.get(task) ?? createRoster({ epoch: 0, members: [...task.members] })
  rosters.set(task, roster)
  return roster
}

/**
 * How far the rounds have come, on disk: the last closing, the roster in effect and the one that waits, and the chain of
 * rosters from the task on, each with the decision that made it and the one that put it into effect (§7).
 */
export class Chronicle {
  readonly #task: Task
  readonly #journal: Journal
  readonly #epochs = new Map<number, Roster>()
  /** The first round of each epoch, in their order. */
  readonly #began = new Map<number, number>([[0, 1]])
  /** Rosters that were shown, encoded, by hash (hex): none of them counts, or is read, before a decision names it. */
  readonly #offered = new Map<string, Uint8Array>()
  /** The hash (hex) of the one that is in the journal for what was voted last. */
  #kept?: string
  readonly #genesis: Uint8Array
  #closed: Closed
  #succession: Succession
  /** The decision that named the roster that waits. */
  #made?: Uint8Array

  constructor(task: Task, journal: Journal) {
    this.#task = task
    this.#journal = journal
    const roster = genesisRoster(task)
    this.#epochs.set(0, roster)
    this.#succession = { roster }
    const randomness = task.randomness === undefined ? undefined : hexToBytes(task.randomness)
    this.#genesis = genesisBeacon(task.idBytes, roster.hash, randomness)
    this.#closed = { round: 0, decision: null, beacon: this.#genesis, deck: initialDeck() }
  }

  get closed(): Closed {
    return this.#closed
  }

  get succession(): Succession {
    return this.#succession
  }

  /** The roster in effect in the next round. */
  get roster(): Roster {
    return this.#succession.roster
  }

  rosterOf(epoch: number): Roster | undefined {
    return this.#epochs.get(epoch)
  }

  /** The roster that ran a round, as far as the rounds have come here. */
  rosterIn(round: number): Roster {
    const epoch = [...this.#began].findLast(([, first]) => first <= round)?.[0] ?? 0
    return this.#epochs.get(epoch)!
  }

  /** What led to the roster of an epoch from the task on. */
  async chainTo(epoch: number): Promise<EpochLink[]> {
    const links: EpochLink[] = []
    for (let next = 1; next <= epoch; next++) {
      const { roster, made, effective } = await this.#epoch(next)
      links.push({ roster, made, effective })
    }
    return links
  }

  /** Takes up what the journal has. */
  async load(): Promise<void> {
    for await (const [, value] of this.#journal.entries(`${this.#task.id}/epoch/`)) {
      const { roster: encoded, effective } = dagCbor.decode<EpochRecord>(value)
      const roster = decodeRoster(encoded)
      this.#epochs.set(roster.epoch, roster)
      this.#began.set(roster.epoch, decodeMessage(effective).round + 1)
      this.#succession = { roster }
    }
    const record = await this.#journal.get(closedRecord(this.#task.id))
    if (record === undefined) return
    const { decision, deck, pending } = dagCbor.decode<{
      decision: Uint8Array
      deck: Uint8Array
      pending?: { roster: Uint8Array; made: Uint8Array } | null
    }>(record)
    if (pending) {
      this.#made = pending.made
      const decidedIn = decodeMessage(pending.made).round
      this.#succession = { roster: this.roster, pending: { roster: decodeRoster(pending.roster), decidedIn } }
    }
    this.#adopt(decodeMessage(decision) as Message<'Decision'>, decodeDeck(deck, this.roster.members.length))
  }

  /** A roster that a proposal names, on disk before any vote for it leaves: whoever votes for it can show it. */
  async keep(roster: Roster): Promise<void> {
    const hash = bytesToHex(roster.hash)
    if (this.#kept === hash) return
    await this.#journal.put(namedPrefix(this.#task.id) + hash, encodeRoster(roster))
    this.#kept = hash
  }

  /** The roster that a closing decision names, where it is known here. */
  async named(hash: Uint8Array): Promise<Roster | undefined> {
    const same = unchanged(this.#succession)
    if (sameBytes(same.hash, hash)) return same
    const name = bytesToHex(hash)
    const encoded = this.#offered.get(name) ?? (await this.#journal.get(namedPrefix(this.#task.id) + name))
    return encoded && decodeRoster(encoded)
  }

  /** Rosters that a member answered with; a decision that names one by its hash is all the proof that it needs. */
  offer({ chain, pending }: Body<'Closed'>): void {
    this.#offered.clear()
    for (const { roster } of [...chain, ...(pending === null ? [] : [pending])])
      this.#offered.set(bytesToHex(rosterHeadOf(roster).hash), roster)
  }

  /**
   * The next round is over, for ever, by a decision that the caller has checked; `dealt` is the deck in the indices of its
   * roster, `named` the roster that the decision names. `also` is written in the same batch.
   */
  async close(decision: Message<'Decision'>, dealt: Deck, named: Roster, also: JournalOperation[] = []): Promise<void> {
    const before = this.#succession
    const { value } = closingValue(decision)
    const after = succeed(before, { round: decision.round, summed: value.kind === 'summed', named })
    const deck = deckAfter(before, after, dealt)
    if (!sameBytes(deckHash(deck), value.deckHash))
      throw new MessageError('INVALID', 'a decision names another deck than follows from the rounds before')
    const made = before.pending === undefined ? decision.encoded : this.#made!
    const begun =
      after.roster === before.roster
        ? []
        : [{ roster: encodeRoster(after.roster), made, effective: decision.encoded, deck: encodeDeck(deck) }]
    await this.#write(decision, deck, { after, made }, begun, also)
  }

  /**
   * Goes on to where a member is that answered: from decision to decision, each by the quorum of the roster that was in
   * effect, from the task alone. Throws MessageError where the chain does not hold; then nothing changes.
   *
   * @returns whether it led any further
   */
  async follow(answer: Body<'Closed'>): Promise<boolean> {
    const reached = followChain(this.#task, this.#succession.roster, answer)
    const { decision, succession } = reached
    if (decision.round <= this.#closed.round) return false
    const deck = decodeDeck(answer.deck, succession.roster.members.length)
    if (!sameBytes(deckHash(deck), closingValue(decision).value.deckHash))
      throw new MessageError('INVALID', 'an answer comes with a deck that no decision names')
    const last = reached.links.length - 1
    const begun = reached.links.map((link, place) =>
      // Of the epochs in between the deck is not known; nor may an answer end where a roster waits.
      place === last && succession.pending === undefined
        ? { ...link, deck: answer.deck, at: decision.encoded }
        : { ...link, deck: new Uint8Array(0) }
    )
    await this.#write(decision, deck, { after: succession, made: reached.made }, begun)
    return true
  }

  /**
   * What a member of that epoch needs, to come to where this one is, or where the chain is longer than one message takes,
   * to an epoch on the way, from which it asks on.
   *
   * @param most bytes of the chain, but for one epoch more
   */
  async since(epoch: number, most = MOST_CHAIN_BYTES): Promise<Omit<Body<'Closed'>, 'announcements'>> {
    const { decision, deck } = this.#closed
    const chain: EpochLink[] = []
    let resting: { decision: Uint8Array; deck: Uint8Array; length: number } | undefined
    let size = 0
    for (let next = epoch + 1; next <= this.roster.epoch; next++) {
      const record = await this.#epoch(next)
      const { roster, made, effective } = record
      size += roster.length + made.length + effective.length
      if (size > most && resting !== undefined)
        return { decision: resting.decision, deck: resting.deck, chain: chain.slice(0, resting.length), pending: null }
      chain.push({ roster, made, effective })
      if (record.deck.length > 0)
        resting = { decision: record.at ?? effective, deck: record.deck, length: chain.length }
    }
    const { pending } = this.#succession
    return {
      decision: decision?.encoded ?? null,
      deck: encodeDeck(deck),
      chain,
      pending: pending === undefined ? null : { roster: encodeRoster(pending.roster), made: this.#made! }
    }
  }

  /** The decision that closed a round of late; undefined where it is not here. */
  async closing(round: number): Promise<Message<'Decision'> | undefined> {
    const encoded = await this.#journal.get(closingRecord(this.#task.id, round))
    return encoded && (decodeMessage(encoded) as Message<'Decision'>)
  }

  /** A round that was closed while this member was away, by a decision that the caller has checked. */
  keepClosing({ round, encoded }: Message<'Decision'>): JournalOperation {
    return { type: 'put', key: closingRecord(this.#task.id, round), value: encoded }
  }

  /** B of a late round; undefined where what closed the one before is not here. */
  async beaconOf(round: number): Promise<Uint8Array | undefined> {
    if (round === 1) return this.#genesis
    const before = await this.closing(round - 1)
    return before && closingValue(before).value.beacon
  }

  /** Checks a closing decision of the epoch in effect. Throws MessageError where it is none. */
  check(decision: Message<'Decision'>): void {
    readClosing(decision.encoded, this.#task, this.roster)
  }

  async #epoch(epoch: number): Promise<EpochRecord> {
    return dagCbor.decode<EpochRecord>((await this.#journal.get(epochRecord(this.#task.id, epoch)))!)
  }

  async #write(
    decision: Message<'Decision'>,
    deck: Deck,
    { after, made }: { after: Succession; made?: Uint8Array },
    begun: EpochRecord[],
    also: JournalOperation[] = []
  ): Promise<void> {
    const { id } = this.#task
    const waits = after.pending && { roster: encodeRoster(after.pending.roster), made: made! }
    const record = { decision: decision.encoded, deck: encodeDeck(deck), pending: waits ?? null }
    const decoded = begun.map((epoch) => ({ epoch, roster: decodeRoster(epoch.roster) }))
    const named: string[] = []
    for await (const [key] of this.#journal.entries(namedPrefix(id))) named.push(key)
    await this.#journal.batch([
      ...decoded.map(({ epoch, roster }) => put(epochRecord(id, roster.epoch), epoch)),
      put(closedRecord(id), record),
      { type: 'put', key: closingRecord(id, decision.round), value: decision.encoded },
      ...(decision.round > ROUNDS_KEPT
        ? [{ type: 'del' as const, key: closingRecord(id, decision.round - ROUNDS_KEPT) }]
        : []),
      ...named.map((key) => ({ type: 'del' as const, key })),
      ...also
    ])
    for (const { roster, epoch } of decoded) {
      this.#epochs.set(roster.epoch, roster)
      this.#began.set(roster.epoch, decodeMessage(epoch.effective).round + 1)
    }
    this.#offered.clear()
    this.#kept = undefined
    this.#succession = { ...after, roster: this.#epochs.get(after.roster.epoch) ?? after.roster }
    this.#made = waits?.made
    this.#adopt(decision, deck)
  }

  #adopt(decision: Message<'Decision'>, deck: Deck): void {
    this.#closed = { round: decision.round, decision, beacon: closingValue(decision).value.beacon, deck }
  }
}

const put = (key: string, value: unknown): JournalOperation => ({ type: 'put', key, value: dagCbor.encode(value) })
