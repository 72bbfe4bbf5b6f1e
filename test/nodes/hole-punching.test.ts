import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { NoNamespaces } from '../../scripts/laboratory/namespaces.ts'
import { Routers } from '../../scripts/laboratory/routers.ts'
import { until } from '../network/nodes.ts'
import { makeMembers } from './daemons.ts'
import type { RoutedOptions, RoutedReport } from './routed-member.ts'
import { temporaryFolder } from './secagg.ts'

/** A member in a network namespace. */
class RoutedMember {
  readonly told: RoutedReport = {}
  readonly #child: ChildProcess

  constructor([execPath, ...execArgv]: string[], options: RoutedOptions) {
    const program = fileURLToPath(new URL('routed-member.ts', import.meta.url))
    this.#child = fork(program, { execPath, execArgv: [...execArgv, process.execPath] })
    this.#child.on('message', (told) => void Object.assign(this.told, told))
    this.#child.send(options)
  }

  want(): void {
    this.#child.send('want')
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }
}

describe('members behind routers of their own', function () {
  // Whatever is waited for below, on a busy machine.
  this.timeout(240_000)
  const folder = temporaryFolder()
  const members: RoutedMember[] = []
  let routers: Routers | undefined
  afterEach(() => {
    for (const member of members.splice(0)) member.kill()
    routers?.remove()
  })

  it('connect to each other through them, and sum without the relay that brought them together', async function () {
    try {
      routers = new Routers(3)
    } catch (error) {
      if (!(error instanceof NoNamespaces)) throw error
      console.log(`      ${error.message}`)
      return this.skip()
    }
    const network = routers
    const { folders, taskFile } = await makeMembers(folder(), 4, { deadline: 5 })
    const begin = (
      place: string,
      number: number,
      options: Pick<RoutedOptions, 'listen' | 'bootstrap' | 'relay'>
    ): void =>
      void members.push(new RoutedMember(network.within(place), { ...options, taskFile, dataDir: folders[number] }))
    const listen = [`/ip4/${network.publicAddress}/tcp/0`]
    begin('public', 0, { listen, bootstrap: [], relay: { serve: true } })
    const [relay] = members
    await until(() => relay.told.addresses !== undefined, 'the relay listens', 40_000)
    const use = [relay.told.addresses![0]]
    for (const home of [0, 1, 2]) begin(`home-${home}`, home + 1, { listen: [], bootstrap: [], relay: { use } })
    const pairs = [
      [0, 1],
      [0, 2],
      [1, 2]
    ]
    const isDirect = (): boolean => pairs.every(([from, to]) => network.isConnected(from, to))
    await until(isDirect, 'all are connected directly', 60_000)

    relay.kill()
    const [, ...others] = members
    await until(() => others.every(({ told }) => told.connected === 2), 'the relay is gone for all', 40_000)
    others[0].want()
    await until(() => others.every(({ told }) => told.closed !== undefined), 'the round is closed', 60_000)
    for (const { told } of others) {
      assert.equal(told.closed!.status, 'summed')
      assert.equal(told.closed!.included.length, 3)
    }
  })
})
