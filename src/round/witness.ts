import { bytesToHex } from '@noble/hashes/utils.js'
import { decodeSet } from '../membership/member-set.ts'

import { authenticate } from './certificates.ts'
import type { VoteType } from './certificates.ts'
import { claimsOf } from './claims.ts'
import type { Claim } from './claims.ts'
import { sameBytes } from './dealing.ts'
import { decodeMessage, encodeMessage, MAX_MESSAGE_BYTES, messageHash } from './messages.ts'
import type { Roster } from '../membership/roster.ts'
import type { AnyMessage, Certificate, Message, RoundContext } from './messages.ts'
import { fullAdvert, fullHeaders } from './short-forms.ts'
import type { RoundRules } from './transcript.ts'
import {
  holds,
  LARGEST_STATEMENT,
  evidenceId,
  verifyEvidence,
  encodeEvidence,
  accepted,
  provenShare
} from './evidence.ts'
import type { Evidence, EvidenceKind } from './evidence.ts'

/** Finds evidence in what a member hears; whether it is some is for evidence.ts. */

/** Evidence against the signer of a Reveal, where a share in it is not the one that its dealer signed for this holder. */
export function holderEvidence(reveal: Message<'Reveal'>, rules: RoundRules): Evidence | undefined {
  return proven('lying-holder', reveal.from, [reveal.encoded], rules)
}

/**
 * Evidence against a dealer whose shares do not open what it advertised, from its advert and the Reveals of the attempt;
 * where they show two roots signed by it, that is the evidence. Undefined where it cannot be blamed: too few proven
 * shares, or shares that open. What it publishes of the Reveals is what the decided cut opens to everyone (§10).
 */
export function dealerEvidence(
  advert: Message<'KeyAdvert'>,
  reveals: Iterable<Message<'Reveal'>>,
  rules: RoundRules
): Evidence | undefined {
  const dealer = advert.from
  const ofAttempt = [...reveals].filter(({ body }) => sameBytes(body.attemptId, advert.body.attemptId))
  const witness = new Witness(rules)
  for (const root of ofAttempt.flatMap((reveal) => shareRoots(reveal, rules.context))) {
    const twoRoots = root.from === dealer ? witness.see(root) : undefined
    if (twoRoots !== undefined) return twoRoots
  }
  for (const side of ['seed', 'key'] as const) {
    const byHolder = new Map<number, Message<'Reveal'>>()
    for (const reveal of ofAttempt)
      if (!byHolder.has(reveal.from) && provenShare(side, dealer, reveal, rules) !== undefined)
        byHolder.set(reveal.from, reveal)
    const lowest = [...byHolder.values()].sort((a, b) => a.from - b.from).slice(0, rules.thresholds.threshold)
    const statements = [advert, ...lowest].map(({ encoded }) => encoded)
    const evidence = proven('lying-dealer', dealer, statements, rules)
    if (evidence !== undefined) return evidence
  }
  return undefined
}

/** The evidence, where it is some: what nobody else would accept is not worth saying. */
function proven(
  kind: EvidenceKind,
  culprit: number,
  statements: Uint8Array[],
  rules: RoundRules
): Evidence | undefined {
  const evidence: Evidence = { kind, culprit, ...rules.context, statements: statements.map(copyOf) }
  return accepted(() => {
    encodeEvidence(evidence)
    verifyEvidence(evidence, rules)
    return evidence
  })
}

// Encoders give a Node Buffer, whose `slice` is no copy.
const copyOf = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes)

/** The dealers' ShareRoots, which no message carries whole, put together again from a Reveal's proofs. */
function shareRoots({ body }: Message<'Reveal'>, context: RoundContext): Message<'ShareRoot'>[] {
  const { attemptId, keyShares, seedShares } = body
  return [...keyShares, ...seedShares].map(({ dealer, root, signature }) =>
    encodeMessage('ShareRoot', context, dealer, { attemptId, root }, signature)
  )
}

/** The votes that a certificate is made of, each as its signer said it. */
function votesOf(type: VoteType, { signers, signatures, ...vote }: Certificate, rules: RoundRules): AnyMessage[] {
  const members = accepted(() => decodeSet(signers, rules.roster.members.length)) ?? []
  return members.map((member, place) => {
    const signature = signatures.subarray(64 * place, 64 * place + 64)
    return encodeMessage(type, rules.context, member, vote, signature)
  })
}

const readable = (embedded: Uint8Array[]): AnyMessage[] =>
  embedded.map((encoded) => accepted(() => decodeMessage(encoded))).filter((message) => message !== undefined)

/** What others have said, as a message shows it; one that does not parse hides none of the rest. */
function wordsInside(message: AnyMessage, rules: RoundRules): AnyMessage[] {
  switch (message.type) {
    case 'RoundPlan':
      return readable(message.body.retries)
    case 'KeyBook':
      return readable(message.body.adverts.map((advert) => fullAdvert(advert, message.body.attemptId, message)))
    case 'Custody':
    case 'Slice':
      return readable([message.body.header])
    case 'Proposal': {
      const { lock } = message.body
      return [...(lock === null ? [] : votesOf('Prepare', lock, rules)), ...readable(fullHeaders(message))]
    }
    case 'Lock':
      return votesOf('Prepare', message.body.certificate, rules)
    case 'Join': {
      const { locks, decisions, shown, masked, custody } = message.body
      const documents = readable([...decisions, ...shown, ...(masked === null ? [] : [masked]), ...custody])
      return [...locks.flatMap(({ certificate }) => votesOf('Prepare', certificate, rules)), ...documents]
    }
    case 'Decision':
      return votesOf('Commit', message.body.commits, rules)
    case 'Reveal':
      return shareRoots(message, rules.context)
    default:
      return []
  }
}

interface Inside {
  roster: Roster
  round: number
  words: AnyMessage[]
}

/** What is inside of a message that is read again, as where several members run in one process, is taken out once. */
const inside = new WeakMap<AnyMessage, Inside>()

function wordsOf(message: AnyMessage, rules: RoundRules): AnyMessage[] {
  const { roster, context } = rules
  const before = inside.get(message)
  if (before?.roster === roster && before.round === context.round) return before.words
  const words = wordsInside(message, rules)
  inside.set(message, { roster, round: context.round, words })
  return words
}

const lasting = new WeakMap<AnyMessage, Uint8Array>()

/** A copy, one for all members of a process: what came inside another message would keep all of that in memory. */
function lastingOf(message: AnyMessage): Uint8Array {
  const copy = lasting.get(message) ?? copyOf(message.encoded)
  lasting.set(message, copy)
  return copy
}

/** What is remembered of one member; the oldest is forgotten first. Honest members say far less in a round. */
const REMEMBERED_BYTES = 2 * MAX_MESSAGE_BYTES

/** Messages that are not looked into again: most come many times, alone and inside others. */
const LOOKED_AT = 8192

/** A Join shows what leaders showed, and that shows adverts, headers and votes. */
const DEEPEST = 2

/** What one member has signed in a round, by slot. */
interface Said {
  slots: Map<string, { says: string; encoded: Uint8Array }>
  bytes: number
}

/**
 * Remembers what every member was seen to say first in a round, and has evidence when another thing turns up. Only what
 * is signed by whom it names is remembered, so nobody can put words into another's mouth or push them out of memory.
 */
export class Witness {
  readonly #rules: RoundRules
  readonly #said = new Map<number, Said>()
  readonly #found = new Map<string, Evidence>()
  readonly #lookedAt = new Set<string>()

  constructor(rules: RoundRules) {
    this.#rules = rules
  }

  /** All evidence so far, one for each kind of offence of each culprit. */
  get found(): Evidence[] {
    return [...this.#found.values()]
  }

  /**
   * Looks at a message, and into it: adverts in a key book, headers in a proposal, votes in a certificate, share roots in
   * a Reveal, and all of these in what a Join shows. Returns the first evidence that is new with it; one certificate may convict several, see {@link found}.
   */
  see(message: AnyMessage): Evidence | undefined {
    const { context } = this.#rules
    if (!sameBytes(message.task, context.task) || message.epoch !== context.epoch || message.round !== context.round)
      return undefined
    const before = this.#found.size
    this.#look(message, 0)
    if (message.type === 'Reveal') this.#keep(holderEvidence(message, this.#rules))
    return this.found.at(before)
  }

  #look(message: AnyMessage, depth: number): void {
    const hash = messageHash(message)
    if (this.#lookedAt.has(hash)) return
    if (this.#lookedAt.size >= LOOKED_AT) this.#lookedAt.delete(this.#lookedAt.values().next().value!)
    this.#lookedAt.add(hash)
    if (message.encoded.length <= LARGEST_STATEMENT)
      for (const claim of claimsOf(message)) this.#compare(message, claim)
    if (depth < DEEPEST) for (const words of wordsOf(message, this.#rules)) this.#look(words, depth + 1)
  }

  #compare(message: AnyMessage, claim: Claim): void {
    const { kind, slot, says } = claim
    const { from, encoded } = message
    const { context, roster } = this.#rules
    const first = this.#said.get(from)?.slots.get(slot)
    if (first === undefined) {
      if (holds(() => authenticate(message, context, roster))) this.#remember(message, claim)
    } else if (first.says !== says && !this.#found.has(bytesToHex(evidenceId({ kind, culprit: from, ...context })))) {
      this.#keep(proven(kind, from, [first.encoded, encoded], this.#rules))
    }
  }

  #keep(evidence: Evidence | undefined): void {
    if (evidence === undefined) return
    const id = bytesToHex(evidenceId(evidence))
    if (!this.#found.has(id)) this.#found.set(id, evidence)
  }

  #remember(message: AnyMessage, { slot, says }: Claim): void {
    const { from } = message
    const said: Said = this.#said.get(from) ?? { slots: new Map(), bytes: 0 }
    this.#said.set(from, said)
    const encoded = lastingOf(message)
    said.slots.set(slot, { says, encoded })
    said.bytes += encoded.length
    for (const [oldest, { encoded }] of said.slots) {
      if (said.bytes <= REMEMBERED_BYTES) return
      said.slots.delete(oldest)
      said.bytes -= encoded.length
    }
  }
}
