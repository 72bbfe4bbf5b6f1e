/**
 * `secagg/node`: what survives a crash, on a disk; give both to `secureAggregation` where a member may be started again. And
 * threads for long vectors.
 *
 * @module node
 */
export { FileVectorStore } from './journal/file-vector-store.ts'
export { LevelJournal } from './journal/level-journal.ts'
export { ThreadPool } from './crypto/thread-pool.ts'
