import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { createIdentity } from '../../nodes/daemon/identity.ts'
import type { ReportedOutcome } from '../../nodes/daemon/launcher-messages.ts'
import { ProcessPeer } from '../../nodes/local-network/process-peer.ts'
import { readNpy, writeNpy } from '../../nodes/npy.ts'
import { until } from '../network/nodes.ts'
import { temporaryFolder } from './secagg.ts'

const patience = 60_000
const members = 3

describe('a node whose identity is not among the members of its task', function () {
  this.timeout(300_000)
  const folder = temporaryFolder()

  it('joins a running network of processes where the task lists it, and contributes', async () => {
    const folders = Array.from({ length: members + 1 }, (_, number) => join(folder(), `peer-${number}`))
    const ids = await Promise.all(folders.map((path) => createIdentity(path)))
    const taskFile = join(folder(), 'task.yaml')
    const encoding = { type: 'integer', max: 1000 }
    const admission = { allow: ids.slice(members) }
    await writeFile(
      taskFile,
      stringify({ name: 'joining', members: ids.slice(0, members), length: 3, encoding, deadline: 3, admission })
    )
    const outcomes = folders.map(() => new Map<number, ReportedOutcome>())
    const failures: string[] = []
    const peers = folders.map((path, number) => {
      const settings = { number, folder: path, taskFile, listen: ['/ip4/127.0.0.1/tcp/0'], bootstrap: [] }
      return new ProcessPeer(settings, {
        phase: () => {},
        glimpse: () => {},
        happened: () => {},
        outcome: (outcome) => void outcomes[number].set(outcome.round, outcome),
        failed: (why) => void failures.push(why)
      })
    })
    const connected = async (peer: ProcessPeer): Promise<boolean> =>
      (await peer.status()).connected.length >= members - 1
    try {
      await peers[0].run([], [])
      await Promise.all(peers.slice(1, members).map((peer) => peer.run([peers[0].addresses[0]], [])))
      for (const peer of peers.slice(0, members)) await eventually(() => connected(peer))
      const round = async (number: number, among: ProcessPeer[]): Promise<ReportedOutcome> => {
        for (const [at, peer] of among.entries()) {
          const file = join(folders[at], `input-${number}.npy`)
          await writeNpy(file, Int32Array.of(at, 10 ** at, number))
          await peer.input(number, file)
        }
        await among[0].want()
        const closed = (): boolean =>
          outcomes.slice(0, members).every((told) => told.has(number)) || failures.length > 0
        await until(closed, `round ${number} is closed`, patience)
        assert.deepEqual(failures, [])
        return outcomes[0].get(number)!
      }
      assert.equal((await round(1, peers.slice(0, members))).included.length, members)

      await peers[members].run([peers[0].addresses[0]], [])
      await eventually(async () => (await peers[members].status()).connected.length === members)
      let number = 2
      while ((await round(number, peers)).included.length === members) assert.ok(number++ < 12, 'it is let in')
      assert.equal(outcomes[0].get(number)!.status, 'summed')
      const file = join(folder(), 'sum.npy')
      await peers[0].export(number, file)
      const total = BigInt(number) * 4n
      assert.deepEqual((await readNpy(file)).values, BigInt64Array.of(6n, 1111n, total))
      await until(
        () => outcomes[members].get(number)?.input === 'summed',
        'the newcomer is told that it is in',
        patience
      )
      assert.equal(outcomes[members].get(number)!.decided, outcomes[0].get(number)!.decided)
    } finally {
      await Promise.all(peers.map((peer) => peer.stop()))
    }
  })
})

async function eventually(holds: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + patience
  while (!(await holds())) {
    assert.ok(Date.now() < end, 'waited in vain')
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}
