/**
 * `secagg/node`: what survives a crash, on a disk. Give both to `secureAggregation` where a member may be started again.
 *
 * @module node
 */
export { FileVectorStore } from './journal/file-vector-store.ts'
export { LevelJournal } from './journal/level-journal.ts'
