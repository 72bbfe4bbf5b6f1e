import { maskSign, pairwiseMaskSeeds, seedCommitment } from '../crypto/key-agreement.ts'
import type { Mask } from '../crypto/mask-stream.ts'
import { x25519PublicKey } from '../crypto/primitives.ts'
import { Secret } from '../crypto/secret.ts'
import { reconstructSecret } from '../crypto/shamir.ts'
import { MessageError } from '../errors.ts'
import { sharesMasks } from '../membership/groups.ts'
import type { Side } from './ballot.ts'
import { checkProof, sameBytes } from './dealing.ts'
import type { Evidence } from './evidence.ts'
import { cutHash } from './messages.ts'
import type { Body, Message, ShareProof } from './messages.ts'
import { onThisThread } from './ports.ts'
import type { Clock, Compute } from './ports.ts'
import type { CheckedCut, KeyBook, MaskingSet, RoundRules } from './transcript.ts'
import { dealerEvidence } from './witness.ts'

export type Opened = Pick<Body<'SumHeader'>, 'seeds' | 'keys'>

interface Share {
  x: number
  share: Uint8Array
  reveal: Message<'Reveal'>
}

/** What the members revealed of one cut: seeds of the included, shares of the keys of the dropped (§4 phase 5). */
export class Revealed {
  readonly #rules: RoundRules
  readonly #book: KeyBook
  readonly #cut: CheckedCut
  readonly #seeds = new Map<number, Secret>()
  readonly #keys = new Map<number, Secret>()
  /** By dealer, then by holder, each with the Reveal that brought it: t of them are evidence where they open something else. */
  readonly #shares: Record<Side, Map<number, Map<number, Share>>> = { seed: new Map(), key: new Map() }

  constructor(rules: RoundRules, book: KeyBook, cut: CheckedCut) {
    this.#rules = rules
    this.#book = book
    this.#cut = cut
  }

  /** @throws MessageError, the sender being the culprit, where a seed or share is not what was committed to */
  take(reveal: Message<'Reveal'>): void {
    const { from, body } = reveal
    const culprit = this.#rules.roster.members[from].id
    if (!sameBytes(body.cutHash, cutHash(this.#cut.cut)))
      throw new MessageError('INVALID', `a Reveal of member ${from} is for another cut`, { culprit })
    for (const side of [body.keyShares, body.seedShares])
      if (new Set(side.map(({ dealer }) => dealer)).size < side.length)
        throw new MessageError('INVALID', `member ${from} revealed two shares of one dealer`, { culprit })
    if (body.seed !== null) {
      const seed = new Secret(body.seed)
      const commitment = this.#book.adverts.get(from)?.body.seedCommitment
      if (!this.#cut.included.has(from) || commitment === undefined || !sameBytes(seedCommitment(seed), commitment)) {
        throw new MessageError('INVALID', `member ${from} revealed a seed that does not match its commitment`, {
          culprit
        })
      }
      this.#seeds.set(from, seed)
    }
    for (const proof of body.keyShares) this.#takeShare('key', proof, reveal, !this.#cut.included.has(proof.dealer))
    for (const proof of body.seedShares) this.#takeShare('seed', proof, reveal, this.#cut.included.has(proof.dealer))
  }

  /** Included members whose seed is not there: the second wave asks for its shares. */
  silent(): number[] {
    return [...this.#cut.included].filter((member) => !this.#seeds.has(member))
  }

  isComplete(): boolean {
    return (
      this.silent().every((member) => this.#canOpen('seed', member)) &&
      this.#cut.dropped.every((member) => this.#canOpen('key', member))
    )
  }

  /** For people: whose secrets cannot be opened. */
  lacking(): string {
    const members = [
      ...this.silent().filter((member) => !this.#canOpen('seed', member)),
      ...this.#cut.dropped.filter((member) => !this.#canOpen('key', member))
    ]
    return `member${members.length === 1 ? '' : 's'} ${members.join(', ')}`
  }

  /** Reconstructs what was not revealed whole and checks it against the book. @throws MessageError, a lying dealer being the culprit */
  open(): Opened {
    for (const member of this.silent()) this.#seeds.set(member, this.#reconstruct('seed', member))
    for (const member of this.#cut.dropped)
      if (!this.#keys.has(member)) this.#keys.set(member, this.#reconstruct('key', member))
    const inOrder = (secrets: Map<number, Secret>, members: Iterable<number>) =>
      [...members].map((member) => ({ member, secret: secrets.get(member)!.expose() }))
    return { seeds: inOrder(this.#seeds, this.#cut.included), keys: inOrder(this.#keys, this.#cut.dropped) }
  }

  /** Evidence against every dealer whose shares do not open what it committed to; for when {@link open} has failed. */
  evidence(): Evidence[] {
    const { seed, key } = this.#shares
    const reveals = (dealer: number) =>
      [seed, key].flatMap((shares) => [...(shares.get(dealer)?.values() ?? [])].map(({ reveal }) => reveal))
    return [...this.#book.adverts.values()]
      .map((advert) => dealerEvidence(advert, new Set(reveals(advert.from)), this.#rules))
      .filter((evidence) => evidence !== undefined)
  }

  #takeShare(side: Side, proof: ShareProof, reveal: Message<'Reveal'>, dictated: boolean): void {
    const holder = reveal.from
    const culprit = this.#rules.roster.members[holder].id
    if (!dictated || !this.#book.adverts.has(proof.dealer))
      throw new MessageError('INVALID', `member ${holder} revealed a ${side} share that the cut does not open`, {
        culprit
      })
    const ofDealer = this.#shares[side].get(proof.dealer) ?? new Map<number, Share>()
    this.#shares[side].set(proof.dealer, ofDealer)
    if (ofDealer.has(holder)) return
    try {
      checkProof(proof, side, holder, this.#book.attemptId, this.#rules)
    } catch (cause) {
      throw new MessageError('INVALID', `member ${holder} revealed a share that its dealer did not sign`, {
        culprit,
        cause
      })
    }
    // Where a lying dealer signed it another slot, an honest holder has not kept it.
    if (proof.slot !== this.#book.graph.slot(proof.dealer, holder))
      throw new MessageError('INVALID', `member ${holder} revealed a share of a slot that is not its own`, { culprit })
    ofDealer.set(holder, { x: proof.slot, share: proof.share, reveal })
  }

  #canOpen(side: Side, member: number): boolean {
    return (this.#shares[side].get(member)?.size ?? 0) >= this.#rules.thresholds.threshold
  }

  #reconstruct(side: Side, dealer: number): Secret {
    const shares = [...this.#shares[side].get(dealer)!.values()]
    const secret = reconstructSecret(shares, this.#rules.thresholds.threshold)
    const { maskKey, seedCommitment: commitment } = this.#book.adverts.get(dealer)!.body
    const matches =
      side === 'seed'
        ? sameBytes(seedCommitment(secret), commitment)
        : sameBytes(x25519PublicKey(secret.expose()), maskKey)
    if (!matches) {
      const culprit = this.#rules.roster.members[dealer].id
      throw new MessageError('INVALID', `member ${dealer} dealt ${side} shares that do not open what it committed to`, {
        culprit
      })
    }
    return secret
  }
}

/**
 * The masks that the sum of the included vectors still carries, to be taken off (§4):
 * Σ PRG(b_v), and of each dropped w what its included partners laid for it; those of one group, where sums are per group.
 */
export async function masksToRemove(
  rules: RoundRules,
  book: KeyBook,
  set: MaskingSet,
  cut: CheckedCut,
  opened: Opened,
  { clock, compute = onThisThread }: { clock: Clock; compute?: Compute },
  group = 0
): Promise<Mask[]> {
  const dropped = agreementsOfDropped(rules, { book, set, cut }, opened, group)
  const seedsOf = await compute.agree(dropped, () => clock.pause())
  return [
    ...selfMasks(rules, opened, group),
    ...dropped.flatMap((agreements, place) => pairwiseMasks(agreements, seedsOf[place]))
  ]
}

/** The same without a pause, those of one member after the other. */
export function* masksInSteps(
  rules: RoundRules,
  basis: UnmaskedBasis,
  opened: Opened,
  group: number
): Generator<Mask[]> {
  yield selfMasks(rules, opened, group)
  for (const agreements of agreementsOfDropped(rules, basis, opened, group))
    yield pairwiseMasks(agreements, pairwiseMaskSeeds(agreements))
}

/** Under which keys and masks a cut was made. */
interface UnmaskedBasis {
  book: KeyBook
  set: MaskingSet
  cut: CheckedCut
}

type Agreements = Parameters<typeof pairwiseMaskSeeds>[0]

const isOf =
  ({ groups }: RoundRules, group: number) =>
  ({ member }: { member: number }) =>
    groups === undefined || groups.of[member] === group

function selfMasks(rules: RoundRules, { seeds }: Opened, group: number): Mask[] {
  return seeds.filter(isOf(rules, group)).map(({ secret }) => ({ seed: secret, sign: -1 }))
}

/** What each dropped member agreed on with its included partners, from its opened key. */
function agreementsOfDropped(
  rules: RoundRules,
  { book, set, cut: { included } }: UnmaskedBasis,
  { keys }: Opened,
  group: number
): Agreements[] {
  const { roster, groups } = rules
  return keys.filter(isOf(rules, group)).map(({ member, secret }) => {
    const inTouch = book.graph
      .partners(member)
      .filter((partner) => included.has(partner) && sharesMasks(groups, member, partner))
    const partners = inTouch.map((partner) => ({
      id: roster.members[partner].bytes,
      key: book.adverts.get(partner)!.body.maskKey
    }))
    const self = roster.members[member].bytes
    return { secret: new Secret(secret), self, attemptId: book.attemptId, maskingSetHash: set.hash, partners }
  })
}

/** What the partners laid, with the sign turned. */
function pairwiseMasks({ self, partners }: Agreements, seeds: readonly Mask['seed'][]): Mask[] {
  return seeds.map((seed, place) => ({ seed, sign: maskSign(partners[place].id, self) === 1 ? -1 : 1 }))
}
