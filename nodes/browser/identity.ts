import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import type { PrivateKey } from '@libp2p/interface'
import { IndexedDbJournal } from '../../src/journal/indexeddb-journal.ts'
import type { Journal } from '../../src/journal/journal.ts'

// Task ids, with which a round's keys begin, are hexadecimal.
const key = 'identity'

/** The journal of a page that was given no other name. */
export const ownJournal = 'member'

/**
 * This page's identity, made where there is none. It lies in its journal, so that a browser that clears the one clears
 * the other: an identity never comes back without what it may have signed (S5).
 */
export async function identityIn(journal: Journal): Promise<PrivateKey> {
  const stored = await journal.get(key)
  if (stored !== undefined) return privateKeyFromProtobuf(stored)
  const made = await generateKeyPair('Ed25519')
  await journal.put(key, privateKeyToProtobuf(made))
  return made
}

/**
 * The peer id that a page of this origin has, for the list of a task's members; made where there is none.
 *
 * @throws SecureAggregationError JOURNAL_IN_USE where a member of this storage is running
 */
export async function pageIdentity(storage = ownJournal): Promise<string> {
  const journal = await IndexedDbJournal.open(storage)
  try {
    return peerIdFromPrivateKey(await identityIn(journal)).toString()
  } finally {
    await journal.close()
  }
}
