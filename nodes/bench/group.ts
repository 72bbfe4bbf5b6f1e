import { H } from '../../src/crypto/hash.ts'
import { generateKeyPair } from '../../src/crypto/key-agreement.ts'
import { randomBytes } from '../../src/crypto/primitives.ts'
import { Secret } from '../../src/crypto/secret.ts'
import { graphOf } from '../../src/membership/graphs.ts'
import { createRoster } from '../../src/membership/roster.ts'
import { Attempt } from '../../src/round/attempt.ts'
import { encodeMessage } from '../../src/round/messages.ts'
import type { KeyBook, MaskingSet, RoundRules } from '../../src/round/transcript.ts'
import { createTask } from '../../src/task/task.ts'
import type { TaskInput } from '../../src/task/task.ts'
import { generateKeyPair as generateIdentity } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'

/** An attempt of many members as one of them sees it when it masks: everybody has advertised, and is in the masking set. */
export async function groupOf(members: number, threat: TaskInput['threat'], length: number) {
  const ids = await Promise.all(
    Array.from({ length: members }, async () => peerIdFromPrivateKey(await generateIdentity('Ed25519')).toString())
  )
  const task = createTask({
    name: 'bench',
    members: ids,
    length,
    randomness: '00'.repeat(32),
    encoding: { type: 'fixed', clip: 8, bits: 16 },
    threat
  })
  const roster = createRoster({ epoch: 0, members: [...task.members] })
  const context = { task: task.idBytes, epoch: 0, round: 1 }
  const beacon = H('bench')
  const graph = (attempt: number) =>
    graphOf(members, task.thresholds.graph, { beacon, rosterHash: roster.hash, round: 1, attempt })
  const rules: RoundRules = { context, roster, thresholds: task.thresholds, graph }
  const attempt = new Attempt(0, H('bench'), rules, 0, randomBytes)
  const keys = roster.members.map(() => generateKeyPair())
  const seeds = roster.members.map(() => new Secret(randomBytes(32)))
  const adverts = keys.map(({ publicKey }, from) =>
    encodeMessage('KeyAdvert', context, from, { ...attempt.advert(true), ...(from > 0 && { maskKey: publicKey }) })
  )
  const everyone = roster.members.map(({ index }) => index)
  const book: KeyBook = {
    hash: H('bench', 'book'),
    attemptId: attempt.id,
    graph: attempt.graph,
    adverts: new Map(adverts.entries()),
    contributors: everyone
  }
  const set: MaskingSet = { hash: H('bench', 'set'), members: everyone, body: undefined as never }
  attempt.open(book)
  return { task, rules, attempt, book, set, keys, seeds }
}
