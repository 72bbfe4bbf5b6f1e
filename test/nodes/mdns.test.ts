import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { until } from '../network/nodes.ts'
import { Daemons, makeMembers } from './daemons.ts'
import { temporaryFolder } from './secagg.ts'

/** The group of mDNS. */
const GROUP = '224.0.0.251'

/** Whether what is sent to the group comes back to this machine. */
async function hasMulticast(): Promise<boolean> {
  const socket = createSocket({ type: 'udp4', reuseAddr: true })
  try {
    socket.bind()
    await once(socket, 'listening')
    socket.addMembership(GROUP)
    const heard = once(socket, 'message', { signal: AbortSignal.timeout(2000) })
    await Promise.all([heard, new Promise((sent) => socket.send('?', socket.address().port, GROUP, sent))])
    return true
  } catch {
    return false
  } finally {
    socket.close()
  }
}

describe('members on one network segment', function () {
  this.timeout(60_000)
  const folder = temporaryFolder()
  const daemons = new Daemons()
  before(async function () {
    if (await hasMulticast()) return
    process.stderr.write('    skipped: no multicast here\n')
    this.skip()
  })
  after(() => daemons.stop())

  it('find each other by mDNS, without an address of anybody', async () => {
    const members = await makeMembers(folder(), 3)
    for (const number of [0, 1, 2]) await daemons.start(members, number, { mdns: true })
    const { running } = daemons
    await until(() => running.every(({ standing }) => standing.connected === 3), 'all are connected', 45_000)
    for (const daemon of running) {
      const others = running.map(({ id }) => id).filter((id) => id !== daemon.id)
      assert.deepEqual(daemon.status().connected.toSorted(), others.toSorted())
    }
  })
})
