/**
 * Secure aggregation as a libp2p service: the sum of all members' vectors, and nobody learns a single one.
 *
 * @module secagg
 */
export { secureAggregation } from './network/service.ts'
export type {
  EvidenceDetail,
  Members,
  SecureAggregation,
  SecureAggregationComponents,
  SecureAggregationEvents,
  SecureAggregationInit
} from './network/service.ts'
export type { ContributeOptions, ContributeProgress, Input, LazyInput, Sum } from './network/contributions.ts'
export type { RoundHandler, SessionComponents } from './network/session.ts'
export type { StreamComponents } from './network/streams.ts'
export type { AnnouncementComponents } from './network/gossip.ts'
export type { Audited } from './round/auditor.ts'
export type { EvidenceKind } from './round/evidence.ts'
export { verifyEvidence } from './round/third-party.ts'
export type { EvidenceProof, Verdict } from './round/third-party.ts'
export type { EpochLink } from './round/chain.ts'
export type { AnyMessage } from './round/messages.ts'
export type { ProvisionalSum, RoundOutcome } from './round/outcome.ts'
export type { Compute, Observer, Phase } from './round/ports.ts'
export { createTask } from './task/task.ts'
export type { GraphDegrees } from './membership/graph-parameters.ts'
export type {
  Admission,
  Encoding,
  FixedEncoding,
  GroupTerms,
  IntegerEncoding,
  PlainEncoding,
  PrivateEncoding,
  Task,
  TaskInput,
  TaskTerms,
  Threat,
  Thresholds
} from './task/task.ts'
export type { Vector } from './encoding/encoder.ts'
export { BallotError, InputError, MessageError, RoundError, SecureAggregationError, TaskError } from './errors.ts'
export type { MessageFault } from './errors.ts'
export { MemoryJournal } from './journal/journal.ts'
export type { Journal, JournalOperation } from './journal/journal.ts'
export { MemoryVectorStore } from './journal/vector-store.ts'
export type { ReadOptions, StagedVector, VectorStore } from './journal/vector-store.ts'
