export { secureAggregation } from './network/service.ts'
export type {
  ContributeOptions,
  EvidenceDetail,
  SecureAggregation,
  SecureAggregationEvents,
  SecureAggregationInit
} from './network/service.ts'
export type { Input, RoundHandler, Sum } from './network/session.ts'
export type { RoundOutcome } from './round/outcome.ts'
export type { Phase } from './round/ports.ts'
export { createTask } from './task/task.ts'
export type { Task, TaskInput } from './task/task.ts'
export type { Vector } from './encoding/encoder.ts'
export { BallotError, InputError, MessageError, RoundError, SecureAggregationError, TaskError } from './errors.ts'
export type { Journal } from './journal/journal.ts'
export type { VectorStore } from './journal/vector-store.ts'
