import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { SecureAggregationError } from '../../src/errors.ts'
import { FileVectorStore } from '../../src/journal/file-vector-store.ts'
import { LevelJournal } from '../../src/journal/level-journal.ts'
import { archivedTasks, RoundArchive } from '../daemon/archive.ts'
import { readIdentity } from '../daemon/identity.ts'

/** What a stopped node kept, read from its folder. Throws SecureAggregationError DATA_MISSING, JOURNAL_IN_USE. */
export async function withStoppedNode<T>(
  dataDir: string,
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
    const [taskId] = await archivedTasks(journal)
    if (taskId === undefined)
      throw new SecureAggregationError('DATA_MISSING', `the node of ${dataDir} has never been in a task`)
    const id = peerIdFromPrivateKey(await readIdentity(dataDir)).toString()
    const vectors = await FileVectorStore.open(join(dataDir, 'vectors'))
    return await read(await RoundArchive.open(journal, vectors, taskId), id)
  } finally {
    await journal.close()
  }
}
