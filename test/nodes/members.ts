import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { pino } from 'pino'
import { startApi } from '../../nodes/daemon/api/server.ts'
import type { RunningApi } from '../../nodes/daemon/api/server.ts'
import { defaultApiSettings } from '../../nodes/daemon/api/settings.ts'
import { Daemon } from '../../nodes/daemon/daemon.ts'
import type { DaemonOptions } from '../../nodes/daemon/daemon-options.ts'
import { createIdentity } from '../../nodes/daemon/identity.ts'
import { createTask } from '../../src/task/task.ts'
import type { Task, TaskInput } from '../../src/task/task.ts'

export interface Members {
  task: Task
  daemons: Daemon[]
  folders: string[]
  /** Starts a member again that was stopped. */
  restart(place: number): Promise<Daemon>
  stop(): Promise<void>
}

/** The members of a new task, in this process, connected over loopback. */
export async function startMembers(
  count: number,
  terms: Omit<TaskInput, 'members'>,
  options: Partial<DaemonOptions> = {}
): Promise<Members> {
  const root = await mkdtemp(join(tmpdir(), 'secagg-test-'))
  const folders = Array.from({ length: count }, (_, place) => join(root, `member-${place}`))
  const ids = await Promise.all(folders.map((folder) => createIdentity(folder)))
  const task = createTask({ ...terms, members: ids })
  const daemons: Daemon[] = []
  const start = (dataDir: string, known: Daemon[]): Promise<Daemon> =>
    Daemon.start({
      dataDir,
      task,
      listen: ['/ip4/127.0.0.1/tcp/0'],
      bootstrap: known.slice(0, 1).map(({ addresses }) => addresses[0]),
      mdns: false,
      local: true,
      awaitsInputs: true,
      logger: pino({ level: 'silent' }),
      ...options
    })
  for (const folder of folders) daemons.push(await start(folder, daemons))
  await allConnected(daemons)
  return {
    task,
    daemons,
    folders,
    async restart(place) {
      const others = daemons.filter((_, at) => at !== place)
      daemons[place] = await start(folders[place], others)
      await allConnected(daemons)
      return daemons[place]
    },
    async stop() {
      await Promise.all(daemons.map((daemon) => daemon.stop()))
      await rm(root, { recursive: true, force: true })
    }
  }
}

/** The control API of a member, the first if left out, on any free port, with its token in that member's folder. */
export async function startApiOf(
  { daemons, folders }: Members,
  place = 0
): Promise<{ api: RunningApi; tokenFile: string }> {
  const tokenFile = join(folders[place], 'api.token')
  const settings = { ...defaultApiSettings, listen: '127.0.0.1:0', tokenFile }
  return { api: await startApi(daemons[place], settings, pino({ level: 'silent' })), tokenFile }
}

async function allConnected(daemons: Daemon[]): Promise<void> {
  const isReady = (daemon: Daemon): boolean =>
    daemon.standing.connected === daemons.length &&
    daemon.standing.answered === daemons.length &&
    daemon.status().subscribed.length === daemons.length - 1
  while (!daemons.every(isReady)) await setTimeout(50)
}
