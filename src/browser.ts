/**
 * `secagg/browser`: what survives the closing of a page.
 *
 * @module browser
 */
export { IndexedDbJournal } from './journal/indexeddb-journal.ts'
