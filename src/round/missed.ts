import { MessageError, RoundError } from '../errors.ts'
import { drawGroups } from '../membership/groups.ts'
import { taskOf } from '../membership/roster-change.ts'
import type { Task } from '../task/task.ts'
import { askInTime } from './ask-in-time.ts'
import { authenticatePeer } from './certificates.ts'
import { closingValue, readClosing } from './chain.ts'
import type { Chronicle } from './chronicle.ts'
import { sameBytes } from './dealing.ts'
import { decodeMessage, encodeMessage, MAX_TRANSCRIPT_BYTES, signedBytes } from './messages.ts'
import type { Body, Message } from './messages.ts'
import { outcomeOf } from './outcome.ts'
import type { RoundOutcome } from './outcome.ts'
import type { Frame } from './ports.ts'
import { encodeTranscript, readTranscript } from './public-transcript.ts'
import type { PublicTranscript } from './public-transcript.ts'
import { transcriptKey } from './record.ts'
import { sumName } from './round.ts'
import type { Ports } from './round.ts'
import { sumHeader } from './sums.ts'
import { rulesIn, rulesOf } from './transcript.ts'
import { DATA_FRAME_BYTES } from './vectors.ts'

/**
 * Late rounds that were closed while this member was away, or of which it did not see all: what closed them, what is public of
 * them and their sums, from whoever keeps them, every decision and signature checked.
 */
export interface MissedOptions {
  /** As it began. */
  task: Task
  /** This peer's id. */
  id: string
  chronicle: Chronicle
  ports: Ports
  /** Of how many late rounds. */
  keep: number
  /** Of a round that this member saw nothing of, or had no sum of: it is here now. */
  found?: (outcome: RoundOutcome) => void
}

/** Nobody who was asked so often has it. */
const MOST_TRIES = 3

type RecordRules = ReturnType<typeof rulesOf>

export class Missed {
  readonly #options: MissedOptions
  readonly #stop = new AbortController()
  /** Rounds of which all is here, and of the others how often they were asked for. */
  readonly #whole = new Set<number>()
  readonly #tries = new Map<number, number>()
  #looking?: Promise<void>
  #again = false

  constructor(options: MissedOptions) {
    this.#options = options
  }

  /** Looks, in its own time, what is missing of the late rounds, and asks for it. */
  look(): void {
    this.#again = true
    this.#looking ??= this.#lookThrough()
      .catch((error: Error) => this.#options.ports.observer.refused?.(error))
      .finally(() => (this.#looking = undefined))
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('stopped'))
    await this.#looking
  }

  async #lookThrough(): Promise<void> {
    const { chronicle, keep, id } = this.#options
    while (this.#again && !this.#stop.signal.aborted) {
      this.#again = false
      const last = chronicle.closed.round
      for (let round = Math.max(1, last - keep + 1); round <= last; round++) {
        if (this.#stop.signal.aborted) return
        // Sums belong to whoever was a member.
        if (this.#whole.has(round) || chronicle.rosterIn(round).indexOf(id) < 0) continue
        const tries = this.#tries.get(round) ?? 0
        if (tries >= MOST_TRIES) continue
        this.#tries.set(round, tries + 1)
        if (await this.#complete(round)) this.#whole.add(round)
      }
    }
  }

  /** @returns whether all of the round is here now */
  async #complete(round: number): Promise<boolean> {
    const { chronicle, ports, task, found } = this.#options
    const before = await chronicle.closing(round)
    const hadSum = await this.#hasSum(round)
    const isWhole = before?.body.value.kind === 'burned' || (hadSum && (await this.#hasTranscript(round)))
    if (before !== undefined && isWhole) return true
    const fetched = before !== undefined && (await this.#hasTranscript(round)) ? before : await this.#fetch(round)
    const closing = fetched ?? before
    if (closing === undefined) return false
    const { value, commits } = closing.body
    const roster = chronicle.rosterIn(round)
    const me = roster.indexOf(this.#options.id)
    const terms = taskOf(task, roster)
    const header =
      value.kind === 'summed'
        ? await sumHeader(
            {
              task: terms,
              roster,
              me,
              ports,
              links: ports.links,
              request: (one, body) => this.#request('SumRequest', one, body),
              signal: this.#stop.signal
            },
            { round, root: commits.root!, hashOfCut: value.cutHash }
          )
        : undefined
    if (before === undefined || (header !== undefined && !hadSum)) found?.(await this.#outcome(closing, header))
    return value.kind === 'burned' || (header !== undefined && (await this.#hasTranscript(round)))
  }

  async #hasSum(round: number): Promise<boolean> {
    const { ports, task } = this.#options
    return (await ports.vectors.size(sumName(task.id, round))) !== undefined
  }

  async #hasTranscript(round: number): Promise<boolean> {
    const { ports, task } = this.#options
    return (await ports.journal.get(transcriptKey(task.id, round))) !== undefined
  }

  /** From the first member of the roster in effect that has all of it, else from any; on disk when it resolves. */
  async #fetch(round: number): Promise<Message<'Decision'> | undefined> {
    const { chronicle, ports, id } = this.#options
    let closing: Message<'Decision'> | undefined
    for (const { id: peer } of chronicle.roster.members) {
      if (peer === id || this.#stop.signal.aborted) continue
      try {
        closing = await this.#fetchFrom(peer, round)
        if (closing.body.value.kind === 'burned' || (await this.#hasTranscript(round))) break
      } catch (error) {
        ports.observer.refused?.(error as Error)
      }
    }
    return closing
  }

  async #fetchFrom(peer: string, round: number): Promise<Message<'Decision'>> {
    const { chronicle, ports, task } = this.#options
    const request = await this.#request('RecordRequest', round, {})
    const asking = { task, links: ports.links, clock: ports.clock }
    const frames = askInTime(asking, peer, request.encoded, this.#stop.signal)
    try {
      const { closing: encoded, transcriptBytes } = await readRecord(frames, peer, task, round)
      const closing = readClosing(encoded, task, chronicle.rosterIn(round))
      if (closing.round !== round)
        throw new MessageError('INVALID', `${peer} answers with the closing of another round`)
      const transcript = transcriptBytes === 0 ? undefined : await readBytes(frames, transcriptBytes, peer)
      const value = transcript && (await this.#checked(transcript, closing))
      await ports.journal.batch([
        chronicle.keepClosing(closing),
        ...(value === undefined ? [] : [{ type: 'put' as const, key: transcriptKey(task.id, round), value }])
      ])
      return closing
    } catch (cause) {
      if (!(cause instanceof MessageError) || cause.culprit !== undefined) throw cause
      throw new MessageError(cause.code, `${peer} answers wrongly: ${cause.message}`, { culprit: peer, cause })
    } finally {
      await frames.return()
    }
  }

  /** What is public of the round, with what closed it; nothing where that cannot be checked for what came before. */
  async #checked(encoded: Uint8Array, closing: Message<'Decision'>): Promise<Uint8Array | undefined> {
    const rules = await this.#rules(closing.round)
    if (rules === undefined) return undefined
    const transcript = readTranscript(encoded, rules)
    const { root } = closing.body.commits
    if (root === null || !sameBytes(root, transcript.sum.body.root))
      throw new MessageError('INVALID', 'a transcript is of another sum than closed its round')
    return encodeTranscript({ ...transcript, closing })
  }

  async #rules(round: number): Promise<RecordRules | undefined> {
    const { chronicle, task } = this.#options
    const roster = chronicle.rosterIn(round)
    const terms = taskOf(task, roster)
    const rules = rulesOf({ task: task.idBytes, epoch: roster.epoch, round }, roster, terms)
    const beacon = await chronicle.beaconOf(round)
    return beacon === undefined ? undefined : rulesIn(rules, terms, beacon)
  }

  async #outcome(closing: Message<'Decision'>, header: Message<'SumHeader'> | undefined): Promise<RoundOutcome> {
    const { chronicle, task, id, ports } = this.#options
    const { round } = closing
    const roster = chronicle.rosterIn(round)
    const terms = taskOf(task, roster)
    const beacon = terms.groups && (await chronicle.beaconOf(round))
    const groups = beacon && drawGroups(roster, { beacon, round, count: terms.groups.count })
    // Who led is not known where the deck of that time is not; who closed the round is.
    const leader = (): number => header?.from ?? closing.from
    const me = roster.indexOf(id)
    const outcome = outcomeOf(closing, {
      header,
      round: undefined,
      leader,
      roster,
      me,
      task: terms,
      groups,
      durationMs: 0
    })
    const encoded = await ports.journal.get(transcriptKey(task.id, round))
    const rules = encoded && (await this.#rules(round))
    if (encoded === undefined || rules === undefined) return outcome
    const { attempt, basis }: PublicTranscript = readTranscript(encoded, rules)
    const all = roster.members.map(({ index }) => index)
    const missing = all.filter((member) => !basis.set.members.includes(member))
    return { ...outcome, attempts: attempt + 1, dropped: basis.cut.dropped, missing }
  }

  async #request<T extends 'RecordRequest' | 'SumRequest'>(type: T, round: number, body: Body<T>): Promise<Message<T>> {
    const { chronicle, ports, task, id } = this.#options
    const { roster } = chronicle
    const context = { task: task.idBytes, epoch: roster.epoch, round }
    const signature = await ports.sign(signedBytes(type, context, body))
    return encodeMessage(type, context, Math.max(roster.indexOf(id), 0), body, signature)
  }
}

async function readRecord(frames: AsyncIterator<Frame>, peer: string, task: Task, round: number) {
  const first = await frames.next()
  if (first.done === true) throw new MessageError('TRUNCATED', `${peer} was asked for a round and hung up`)
  const message = decodeMessage(first.value.payload)
  authenticatePeer(message, task.idBytes, peer)
  if (message.type === 'Refusal') throw new RoundError('NOT_INCLUDED', message.body.reason, round)
  if (message.type !== 'Record') throw new MessageError('OUT_OF_PHASE', `${peer} answers with a ${message.type}`)
  return message.body
}

/** So many bytes in data frames. @throws MessageError without a culprit */
export async function readBytes(frames: AsyncIterator<Frame>, length: number, peer: string): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length;) {
    const next = await frames.next()
    if (next.done === true || next.value.kind !== 'data' || next.value.payload.length === 0)
      throw new MessageError('TRUNCATED', `what ${peer} answers breaks off after ${at} of ${length} bytes`)
    if (at + next.value.payload.length > length)
      throw new MessageError('OVERSIZED', `${peer} answers with more than the ${length} bytes that it named`)
    bytes.set(next.value.payload, at)
    at += next.value.payload.length
  }
  return bytes
}

/** What a member is answered that missed a round; undefined where it is not here. */
export async function recordFrames(
  chronicle: Chronicle,
  { journal }: Pick<Ports, 'journal'>,
  taskId: string,
  round: number
): Promise<{ record: Body<'Record'>; frames: Frame[] } | undefined> {
  const closing = await chronicle.closing(round)
  if (closing === undefined) return undefined
  const isSummed = closingValue(closing).value.kind === 'summed'
  const transcript = isSummed ? await journal.get(transcriptKey(taskId, round)) : undefined
  const bytes = transcript !== undefined && transcript.length <= MAX_TRANSCRIPT_BYTES ? transcript : new Uint8Array(0)
  return { record: { closing: closing.encoded, transcriptBytes: bytes.length }, frames: [...bytesFrames(bytes)] }
}

/** Bytes that are no vector, as data frames. */
export function* bytesFrames(bytes: Uint8Array): Generator<Frame> {
  for (let at = 0; at < bytes.length; at += DATA_FRAME_BYTES)
    yield { kind: 'data', payload: bytes.subarray(at, at + DATA_FRAME_BYTES) }
}
