import { bytesToHex } from '@noble/hashes/utils.js'
import {
  beaconContribution,
  generateKeyPair,
  maskSign,
  pairwiseMaskSeeds,
  seedCommitment
} from '../crypto/key-agreement.ts'
import type { Mask } from '../crypto/mask-stream.ts'
import { x25519PublicKey } from '../crypto/primitives.ts'
import { Secret } from '../crypto/secret.ts'
import { MessageError } from '../errors.ts'
import { completeGraph } from '../membership/graphs.ts'
import type { Graph } from '../membership/graphs.ts'
import { sharesMasks } from '../membership/groups.ts'
import { deal, openDelivery, proofOf, sameBytes, sealDelivery } from './dealing.ts'
import type { Dealing, HeldShare } from './dealing.ts'
import type { Audited } from './auditor.ts'
import type { Ballot, Side } from './ballot.ts'
import { MAX_MESSAGE_BYTES } from './messages.ts'
import type { Body, Message, ShareProof } from './messages.ts'
import type { Random } from './ports.ts'
import type { StatementType } from './statements.ts'
import { attemptIdOf, roundIdOf } from './transcript.ts'
import type { CheckedCut, KeyBook, MaskingSet, RoundRules } from './transcript.ts'
import type { Opened } from './unmasking.ts'

/** A sum that this member has checked and stored: the header, and what it opens. */
export interface CheckedSum {
  header: Message<'SumHeader'>
  /** How much of it this member has recomputed itself; the leader that made it, all. */
  audited: Audited
  /** `HKDF(b, "beacon")` of the included members in roster order, which the next beacon is made of. */
  contributions: Uint8Array[]
}

/** Two documents a view, and a cut, for more views than a round can have before it is burned. */
const MOST_SHOWN = 200

/** Leaves room in a Join for what else it carries. */
const MOST_SHOWN_BYTES = MAX_MESSAGE_BYTES - 192 * 1024

/** One set of fresh keys (§2): this member's secrets of an attempt, and what it has been shown of it. */
export class Attempt {
  readonly number: number
  readonly id: Uint8Array
  readonly graph: Graph
  readonly #rules: RoundRules
  readonly #me: number
  readonly #keys: { mask: ReturnType<typeof generateKeyPair>; seal: ReturnType<typeof generateKeyPair> }
  readonly #agree: (publicKey: Uint8Array) => Uint8Array
  readonly #agreed = new Map<string, Secret>()
  readonly #seed: Secret
  #dealing?: Dealing
  readonly #held = new Map<number, HeldShare>()
  #isOver = false
  readonly #waiting = new Map<number, Body<'ShareDelivery'>>()

  /** Whether it has advertised an input; undefined before. */
  contributes?: boolean
  /** The key book that it was shown last. */
  book?: KeyBook
  /** What it has acknowledged of that book. */
  ready?: Message<'Ready'>
  /** Every masking set that it was shown, by its hash (hex): the one it masked under need not be the one that is cut. */
  readonly sets = new Map<string, { book: KeyBook; set: MaskingSet }>()
  /** Under way while this member masks. */
  masking?: Promise<void>
  /** This member's own header, once it has masked; the vector is in the store. */
  header?: Message<'MaskedHeader'>
  /** Headers of leaders whose masked vectors it keeps for them. */
  readonly custody = new Map<number, Message<'MaskedHeader'>>()
  /** Headers of the masked vectors that it took in as a leader, whole and on disk: a later leader can have them from here. */
  readonly uploads = new Map<number, Message<'MaskedHeader'>>()
  /** Every cut that it was shown and that passed its checks, by its hash (hex). */
  readonly cuts = new Map<string, CheckedCut>()
  sum?: CheckedSum
  /** What a published sum has opened, checked against what was committed to: whoever sums again need not ask for it. */
  opened?: Opened
  /** What leaders showed, as they signed it: for a later one to carry on from, and to compare with what others were shown. */
  readonly #shown = new Map<string, Uint8Array>()

  constructor(number: number, contextHash: Uint8Array, rules: RoundRules, me: number, random: Random) {
    this.number = number
    this.id = attemptIdOf(roundIdOf(rules.context, rules.roster.hash, contextHash), number)
    this.graph = rules.graph?.(number) ?? completeGraph(rules.roster.members.length)
    this.#rules = rules
    this.#me = me
    this.#keys = { mask: generateKeyPair(random), seal: generateKeyPair(random) }
    const { agree } = this.#keys.seal
    // Sealing to a member and opening what it sealed start from one shared secret.
    this.#agree = (publicKey) => {
      const key = bytesToHex(publicKey)
      const shared = this.#agreed.get(key) ?? new Secret(agree(publicKey))
      this.#agreed.set(key, shared)
      return shared.expose().slice()
    }
    this.#seed = new Secret(random(32))
  }

  /** Keeps what a leader showed; of the same (by its hash, in hex) the last signed copy. */
  keep(type: StatementType, which: string, { encoded }: Message): void {
    const key = `${type}/${which}`
    if (!this.#shown.has(key) && this.#shown.size >= MOST_SHOWN) return
    // What was shown again is the latest: the oldest goes first where all of it is too much for one Join.
    this.#shown.delete(key)
    this.#shown.set(key, encoded)
    let bytes = this.shown.reduce((sum, { length }) => sum + length, 0)
    for (const [oldest, { length }] of this.#shown) {
      if (bytes <= MOST_SHOWN_BYTES || oldest === key) return
      this.#shown.delete(oldest)
      bytes -= length
    }
  }

  get shown(): Uint8Array[] {
    return [...this.#shown.values()]
  }

  /** The masking set that this member masked under, else the one it was shown last. */
  get set(): MaskingSet | undefined {
    const masked = this.header && this.sets.get(bytesToHex(this.header.body.maskingSetHash))
    return (masked ?? [...this.sets.values()].at(-1))?.set
  }

  advert(contributes: boolean): Body<'KeyAdvert'> {
    return {
      attemptId: this.id,
      contributes,
      maskKey: this.#keys.mask.publicKey,
      sealKey: this.#keys.seal.publicKey,
      seedCommitment: seedCommitment(this.#seed)
    }
  }

  /** Deals both secrets among its holders, at most once, and seals the shares of those in the book (S1). */
  async deliveries(ballot: Ballot, random: Random): Promise<Body<'ShareDelivery'>[]> {
    const { thresholds } = this.#rules
    const { adverts } = this.#shownBook()
    this.#dealing ??= deal(
      {
        seed: this.#seed,
        maskSecret: this.#keys.mask.secret,
        attemptId: this.id,
        dealer: this.#me,
        graph: this.graph,
        threshold: thresholds.threshold
      },
      random
    )
    const dealing = this.#dealing
    const { signature } = await ballot.sayOnce('ShareRoot', this.number, { attemptId: this.id, root: dealing.root })
    return this.graph
      .holders(this.#me)
      .filter((holder) => adverts.has(holder))
      .map((holder) => sealDelivery({ ...dealing.of(holder), signature }, this.#pair(this.#me, holder), this.#rules))
  }

  /** Takes a share in, or keeps it until the key book is there. @throws MessageError, the dealer being the culprit */
  receive(delivery: Body<'ShareDelivery'>): void {
    const { dealer, holder, attemptId } = delivery
    const culprit = this.#rules.roster.members[dealer]?.id
    if (holder !== this.#me || culprit === undefined)
      throw new MessageError('INVALID', `a share is for member ${holder}`, { culprit })
    if (!sameBytes(attemptId, this.id))
      throw new MessageError('WRONG_ATTEMPT', `a share of member ${dealer} is for another attempt`, { culprit })
    if (this.graph.slot(dealer, this.#me) === undefined)
      throw new MessageError('INVALID', `member ${dealer} deals a share to a member that holds none of its`, {
        culprit
      })
    if (this.#held.has(dealer)) return
    // A later leader's book may have been shown to the dealer first.
    if (this.book?.contributors.includes(dealer) !== true) {
      if (!this.#waiting.has(dealer)) this.#waiting.set(dealer, delivery)
      return
    }
    this.#waiting.delete(dealer)
    this.#held.set(dealer, openDelivery(delivery, this.#pair(dealer, this.#me), this.graph, this.#rules))
  }

  /** Shown a key book: opens what came early, and names what was wrong with it. */
  open(book: KeyBook): MessageError[] {
    this.book = book
    const faults: MessageError[] = []
    for (const delivery of [...this.#waiting.values()]) {
      try {
        this.receive(delivery)
      } catch (error) {
        if (!(error instanceof MessageError)) throw error
        faults.push(error)
      }
    }
    return faults
  }

  /** The dealers whose shares this member holds. */
  get dealers(): number[] {
    return [...this.#held.keys()].sort((a, b) => a - b)
  }

  get holdsAll(): boolean {
    return this.#shownBook().contributors.every(
      (dealer) => this.graph.slot(dealer, this.#me) === undefined || this.#held.has(dealer)
    )
  }

  /** The masks of this member's vector: its own, and one with each partner in the masking set, or in its group there (§4). */
  masks({ adverts, graph }: KeyBook, set: MaskingSet): Mask[] {
    const { roster, groups } = this.#rules
    const self = roster.members[this.#me].bytes
    const inSet = new Set(set.members)
    const others = graph
      .partners(this.#me)
      .filter((member) => inSet.has(member) && sharesMasks(groups, member, this.#me))
    const partners = others.map((member) => ({
      id: roster.members[member].bytes,
      key: adverts.get(member)!.body.maskKey
    }))
    const seeds = pairwiseMaskSeeds(
      {
        secret: this.#keys.mask.secret,
        self,
        attemptId: this.id,
        maskingSetHash: set.hash,
        partners
      },
      this.#keys.mask.agree
    )
    return [
      { seed: this.#seed, sign: 1 },
      ...seeds.map((seed, place): Mask => ({ seed, sign: maskSign(self, partners[place].id) }))
    ]
  }

  /** What the decided cut opens of this member's own secrets and of the shares it holds; the ballot has the last word on each (S4). */
  reveal(ballot: Ballot, checked: CheckedCut): Body<'Reveal'> {
    const { cut, included, dropped } = checked
    const opensOwn = included.has(this.#me)
    if (opensOwn) ballot.release(this.number, cut, this.#me, 'seed')
    const seed = opensOwn ? this.#seed.expose().slice() : null
    return {
      ...this.#names(ballot, checked),
      seed,
      keyShares: this.#proofs(ballot, checked, dropped, 'key'),
      seedShares: []
    }
  }

  /** The second wave: shares of the seeds of included members that fell silent. */
  revealSilent(ballot: Ballot, checked: CheckedCut, silent: number[]): Body<'Reveal'> {
    return {
      ...this.#names(ballot, checked),
      seed: null,
      keyShares: [],
      seedShares: this.#proofs(ballot, checked, silent, 'seed')
    }
  }

  #names(ballot: Ballot, { cut }: CheckedCut): { attemptId: Uint8Array; cutHash: Uint8Array } {
    const decided = ballot.decision(`attempt-${this.number}`)!.value
    return { attemptId: cut.attemptId, cutHash: (decided as { cutHash: Uint8Array }).cutHash }
  }

  #proofs(ballot: Ballot, { cut }: CheckedCut, members: number[], side: Side): ShareProof[] {
    return members
      .filter((member) => this.#held.has(member))
      .map((member) => {
        ballot.release(this.number, cut, member, side)
        return proofOf(this.#held.get(member)!, member, side)
      })
  }

  /** What it drew is erased, and nothing can be masked with it any more. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** S7: what was never opened is erased when the round is closed. Input lanes and vectors are erased by whoever holds them. */
  wipe(): void {
    this.#isOver = true
    this.#seed.wipe()
    this.#keys.mask.wipe()
    this.#keys.seal.wipe()
    for (const shared of this.#agreed.values()) shared.wipe()
    this.#agreed.clear()
    this.#dealing?.wipe()
    for (const { seedShare, keyShare } of this.#held.values()) {
      seedShare.fill(0)
      keyShare.fill(0)
    }
    this.#held.clear()
    this.#waiting.clear()
  }

  #shownBook(): KeyBook {
    if (this.book === undefined) throw new MessageError('OUT_OF_PHASE', 'no key book was shown yet')
    return this.book
  }

  #pair(dealer: number, holder: number) {
    const partner = dealer === this.#me ? holder : dealer
    return {
      secret: this.#agree,
      partnerKey: this.#shownBook().adverts.get(partner)!.body.sealKey,
      attemptId: this.id,
      dealer,
      holder
    }
  }
}

/**
 * Checks what a sum opens against the book: the seed of every included member and the mask key of every dropped one,
 * each once, in roster order, each matching its commitment (§10).
 *
 * @returns the contributions to the next beacon
 */
export function checkOpened(
  { seeds, keys }: Pick<Body<'SumHeader'>, 'seeds' | 'keys'>,
  book: KeyBook,
  cut: CheckedCut,
  culprit: string
): Uint8Array[] {
  const fault = (sentence: string) => new MessageError('INVALID', sentence, { culprit })
  const included = [...cut.included]
  if (seeds.length !== included.length || seeds.some(({ member }, place) => member !== included[place]))
    throw fault('a sum does not open the seeds of just the included members')
  if (keys.length !== cut.dropped.length || keys.some(({ member }, place) => member !== cut.dropped[place]))
    throw fault('a sum does not open the mask keys of just the dropped members')
  for (const { member, secret } of keys) {
    if (!sameBytes(x25519PublicKey(secret), book.adverts.get(member)!.body.maskKey))
      throw fault(`the opened mask key of member ${member} is not the one it advertised`)
  }
  return seeds.map(({ member, secret }) => {
    const seed = new Secret(secret)
    if (!sameBytes(seedCommitment(seed), book.adverts.get(member)!.body.seedCommitment))
      throw fault(`the opened seed of member ${member} does not match its commitment`)
    return beaconContribution(seed)
  })
}
