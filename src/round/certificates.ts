import { bytesToHex } from '@noble/hashes/utils.js'
import { compareBytes } from '../crypto/key-agreement.ts'
import { MessageError } from '../errors.ts'
import { decodeSet, encodeSet } from '../membership/member-set.ts'
import { parsePeer } from '../membership/roster.ts'
import type { Roster } from '../membership/roster.ts'
import type { ViewChoice } from './agreement.ts'
import { isSigned, signedBytes, valueHash } from './messages.ts'
import type { AnyMessage, Body, Certificate, Lock, RoundContext, Value } from './messages.ts'
import { isSignedBy } from './signatures.ts'

/** Who may speak, and how many it takes. */
export interface Electorate {
  roster: Roster
  quorum: number
}

export type VoteType = 'Prepare' | 'Commit'

/** Messages whose signature was found valid, and the key that it is by. */
const signedByKey = new WeakMap<AnyMessage, Uint8Array>()

/**
 * Checks that a message is what it says: of this task, epoch and round, from a member, signed by it (a ShareDelivery: in
 * the name of its dealer; its seal is opened elsewhere).
 *
 * @param sender roster index of the peer that the stream or gossip message came from, where it must be the signer
 * @throws MessageError WRONG_TASK, WRONG_ROUND, STRANGER, IMPERSONATION, SIGNATURE
 */
export function authenticate(message: AnyMessage, context: RoundContext, roster: Roster, sender?: number): void {
  const { type, from } = message
  const member = roster.members[from]
  const claimed = sender === undefined ? member : roster.members[sender]
  const culprit = claimed?.id
  if (compareBytes(message.task, context.task) !== 0)
    throw new MessageError('WRONG_TASK', `a ${type} is for another task`, { culprit })
  if (message.epoch !== context.epoch || message.round !== context.round) {
    throw new MessageError(
      'WRONG_ROUND',
      `a ${type} is for round ${message.round} of epoch ${message.epoch}, not round ${context.round} of epoch ${context.epoch}`,
      { culprit }
    )
  }
  if (member === undefined)
    throw new MessageError(
      'STRANGER',
      `a ${type} comes from member ${from}, and the roster has ${roster.members.length}`,
      { culprit }
    )
  if (sender !== undefined && sender !== from) {
    throw new MessageError('IMPERSONATION', `member ${sender} sent a ${type} in the name of member ${from}`, {
      culprit
    })
  }
  if (type === 'ShareDelivery' && message.body.dealer !== from) {
    throw new MessageError(
      'IMPERSONATION',
      `member ${from} sent a share in the name of member ${message.body.dealer}`,
      {
        culprit
      }
    )
  }
  // What is signed follows from the message: task, epoch and round are those of the context.
  if (!isSigned(type) || signedByKey.get(message) === member.publicKey) return
  if (!isSignedBy(member.publicKey, signedBytes(type, context, message.body), message.signature))
    throw new MessageError('SIGNATURE', `a ${type} of member ${from} has an invalid signature`, { culprit })
  signedByKey.set(message, member.publicKey)
}

/**
 * Checks a question or its answer: of this task, and signed by the peer at the other end, which need not be in any roster
 * that is known here. Throws MessageError WRONG_TASK, SIGNATURE.
 */
export function authenticatePeer(message: AnyMessage, task: Uint8Array, peer: string): void {
  const { type, body, signature } = message
  if (compareBytes(message.task, task) !== 0)
    throw new MessageError('WRONG_TASK', `a ${type} is for another task`, { culprit: peer })
  if (!isSignedBy(parsePeer(peer).publicKey, signedBytes(type, message, body), signature))
    throw new MessageError('SIGNATURE', `a ${type} of ${peer} has an invalid signature`, { culprit: peer })
}

/** A quorum's signatures of one view for one value, as one certificate. */
export function certify(votes: ReadonlyMap<number, Uint8Array>, body: Body<VoteType>, members: number): Certificate {
  const signers = [...votes.keys()].sort((a, b) => a - b)
  const signatures = new Uint8Array(64 * signers.length)
  signers.forEach((signer, place) => signatures.set(votes.get(signer)!, 64 * place))
  return { ...body, signers: encodeSet(signers, members), signatures }
}

/**
 * A lock is a quorum of Prepares of one view for one value under one root, a decision a quorum of Commits.
 *
 * @throws MessageError INVALID where it is none
 */
export function checkCertificate(
  type: VoteType,
  certificate: Certificate,
  context: RoundContext,
  { roster, quorum }: Electorate
): void {
  const before = validFor.get(certificate)
  if (before?.type === type && before.roster === roster && before.quorum >= quorum && isSame(before.context, context))
    return
  const { signers, signatures, ...vote } = certificate
  const members = decodeSet(signers, roster.members.length)
  if (members.length < quorum)
    throw new MessageError('INVALID', `${members.length} ${type}s are no quorum of ${quorum}`)
  if (signatures.length !== 64 * members.length)
    throw new MessageError(
      'INVALID',
      `a certificate names ${members.length} signers and has ${signatures.length} bytes of signatures`
    )
  const signed = signedBytes(type, context, vote)
  members.forEach((member, place) => {
    if (!isSignedBy(roster.members[member].publicKey, signed, signatures.subarray(64 * place, 64 * place + 64))) {
      throw new MessageError('INVALID', `a certificate has an invalid ${type} of member ${member}`)
    }
  })
  validFor.set(certificate, { type, context, roster, quorum })
}

/** Certificates that were found valid, and as what: one comes in several messages of a view, and to several members of a process. */
const validFor = new WeakMap<Certificate, { type: VoteType; context: RoundContext } & Electorate>()

function isSame(one: RoundContext, other: RoundContext): boolean {
  return one.round === other.round && one.epoch === other.epoch && compareBytes(one.task, other.task) === 0
}

/** What a certificate is for, as the agreement compares it. */
export function choiceOf(certificate: Certificate): ViewChoice {
  const value = bytesToHex(certificate.value)
  return certificate.root === null
    ? { view: certificate.view, value }
    : { view: certificate.view, value, root: bytesToHex(certificate.root) }
}

/** Checks a lock: a quorum prepared the hash of its value. @throws MessageError INVALID where it is none */
export function checkLock({ value, certificate }: Lock, context: RoundContext, electorate: Electorate): void {
  checkNaming('lock', value, certificate)
  checkCertificate('Prepare', certificate, context, electorate)
}

/**
 * Checks a decision: a quorum committed to the hash of its value. Where that is `summed`, the Commits also name the root
 * of the sum, as the lock did that they answer.
 *
 * @throws MessageError INVALID where it is none
 */
export function checkDecision(decision: Body<'Decision'>, context: RoundContext, electorate: Electorate): void {
  checkNaming('decision', decision.value, decision.commits)
  checkCertificate('Commit', decision.commits, context, electorate)
}

/** The votes are for this value, of the right agreement, and name a root exactly where there is a sum. */
function checkNaming(what: string, value: Value, { agreement, value: hash, root }: Certificate): void {
  const fault = (sentence: string) => new MessageError('INVALID', `a ${what} ${sentence}`)
  if (compareBytes(hash, valueHash(value)) !== 0) throw fault('comes with votes for another value')
  const closing = value.kind === 'summed' || value.kind === 'burned'
  if (closing !== (agreement === 'closing')) throw fault(`for ${value.kind} cannot come from ${agreement}`)
  if ((value.kind === 'summed') !== (root !== null))
    throw fault('names a root where there is no sum, or none where there is one')
}
