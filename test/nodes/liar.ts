import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readIdentity } from '../../nodes/daemon/identity.ts'
import { ed25519Signer } from '../../src/crypto/primitives.ts'
import { createRoster } from '../../src/membership/roster.ts'
import { systemClock } from '../../src/network/clock.ts'
import { decodeMessage } from '../../src/round/messages.ts'
import type { Message } from '../../src/round/messages.ts'
import { Participant } from '../../src/round/participant.ts'
import type { Channel } from '../../src/round/ports.ts'
import { folderOf } from '../../src/round/round.ts'
import { sumShapeOf } from '../../src/round/vectors.ts'
import type { Task } from '../../src/task/task.ts'
import { AltersSum } from '../simulation/adversaries/audits.ts'
import { chance } from '../simulation/chance.ts'

/**
 * From here on the member of this process that lives in `dataDir` alters each sum that it publishes, and serves chunks of
 * it that fit: the simulation's adversary on real streams. Returns what makes it honest again.
 */
export async function letLie(task: Task, dataDir: string): Promise<() => void> {
  const key = await readIdentity(dataDir)
  const sign = ed25519Signer(key.raw.subarray(0, 32))
  const roster = createRoster({ epoch: 0, members: [...task.members] })
  const id = roster.members.find(({ publicKey }) => Buffer.from(publicKey).equals(key.publicKey.raw))!.id
  const me = roster.indexOf(id)
  const { thresholds } = task
  const liar = new AltersSum({
    ...{ me, roster, thresholds, shape: sumShapeOf(task), clock: systemClock, chance: chance(1) },
    plot: { members: [me], sign: (_, bytes) => sign(bytes), votes: new Map() },
    published: ({ round, body }: Message<'SumHeader'>) =>
      readFile(join(dataDir, 'vectors', `${folderOf(task.id)}/round-${round}/attempt-0/sum-${body.view}.vector`))
  })
  // Called with `call` below.
  // eslint-disable-next-line @typescript-eslint/unbound-method
  const { converse, answer } = Participant.prototype
  Participant.prototype.converse = function (peer, channel) {
    return converse.call(this, peer, this.id === id ? lying(liar, channel, roster.indexOf(peer)) : channel)
  }
  Participant.prototype.answer = async function* (peer, request) {
    const frames = answer.call(this, peer, request)
    yield* this.id === id ? liar.answers(frames, decodeMessage(request)) : frames
  }
  return () => Object.assign(Participant.prototype, { converse, answer })
}

function lying(liar: AltersSum, channel: Channel, to: number): Channel {
  return {
    source: channel.source,
    sink: (frames) => channel.sink(liar.toMember(to)(frames, to)),
    abort: (reason) => channel.abort(reason)
  }
}
