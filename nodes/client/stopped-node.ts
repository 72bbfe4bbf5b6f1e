import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { SecureAggregationError } from '../../src/errors.ts'
import { FileVectorStore } from '../../src/journal/file-vector-store.ts'
import type { Journal } from '../../src/journal/journal.ts'
import { LevelJournal } from '../../src/journal/level-journal.ts'
import { archivedName, archivedTasks, RoundArchive } from '../daemon/archive.ts'
import { readIdentity } from '../daemon/identity.ts'

/**
 * What a stopped node kept of a task, read from its folder.
 *
 * @param named the task's name or id; undefined where it has been in one only
 * @throws SecureAggregationError DATA_MISSING, JOURNAL_IN_USE, TASK_UNKNOWN
 */
export async function withStoppedNode<T>(
  dataDir: string,
  named: string | undefined,
  read: (archive: RoundArchive, id: string) => Promise<T>
): Promise<T> {
  const directory = join(dataDir, 'journal')
  if (!existsSync(directory))
    throw new SecureAggregationError(
      'DATA_MISSING',
      `${dataDir} holds no journal; name the dataDir of a node that has run`
    )
  const journal = await LevelJournal.open(directory).catch((error: SecureAggregationError) => {
    if (error.code !== 'JOURNAL_IN_USE') throw error
    const sentence = `the node of ${dataDir} is running; ask it with --node and --token-file`
    throw new SecureAggregationError(error.code, sentence, { cause: error })
  })
  try {
    const taskId = await taskOf(journal, dataDir, named)
    const id = peerIdFromPrivateKey(await readIdentity(dataDir)).toString()
    const vectors = await FileVectorStore.open(join(dataDir, 'vectors'))
    return await read(await RoundArchive.open(journal, vectors, taskId), id)
  } finally {
    await journal.close()
  }
}

async function taskOf(journal: Journal, dataDir: string, named: string | undefined): Promise<string> {
  const ids = await archivedTasks(journal)
  const tasks = await Promise.all(ids.map(async (id) => ({ id, name: await archivedName(journal, id) })))
  if (tasks.length === 0)
    throw new SecureAggregationError('DATA_MISSING', `the node of ${dataDir} has never been in a task`)
  const meant = tasks.filter(({ id, name }) => named === undefined || named === id || named === name)
  if (meant.length === 1) return meant[0].id
  const all = (meant.length === 0 ? tasks : meant).map(({ id, name }) => (name === undefined ? id : `${name} (${id})`))
  const sentence =
    meant.length === 0
      ? `the node of ${dataDir} has never been in a task "${named}", only in ${all.join(', ')}`
      : `the node of ${dataDir} has been in several tasks; name one with --task, by its id where names are the same: ${all.join(', ')}`
  throw new SecureAggregationError('TASK_UNKNOWN', sentence)
}
