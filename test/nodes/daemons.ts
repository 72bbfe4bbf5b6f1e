import { mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pino } from 'pino'
import { stringify } from 'yaml'
import { Daemon } from '../../nodes/daemon/daemon.ts'
import type { DaemonOptions, DaemonOutcome } from '../../nodes/daemon/daemon-options.ts'
import { createIdentity } from '../../nodes/daemon/identity.ts'
import { writeNpy } from '../../nodes/npy.ts'
import { createTask } from '../../src/task/task.ts'
import type { Task, TaskInput } from '../../src/task/task.ts'

/** A task of new members, its file, and each member's folder with its identity and an input: member i holds [i + 1, 10]. */
export interface Members {
  task: Task
  taskFile: string
  ids: string[]
  folders: string[]
  inputs: string[]
}

/**
 * Integers of 0 to 1000, two elements; some of `size` members may be missing, none corrupt. Those beyond the `founders` are no
 * members yet, and may join.
 */
export async function makeMembers(
  folder: string,
  size: number,
  terms: Partial<TaskInput> = {},
  founders = size
): Promise<Members> {
  // A folder of its own: a test that is tried again makes members again.
  const home = await mkdtemp(join(folder, 'members-'))
  const folders = Array.from({ length: size }, (_, number) => join(home, `peer-${number}`))
  const ids = await Promise.all(folders.map(createIdentity))
  const written: TaskInput = {
    name: 'test',
    members: ids.slice(0, founders),
    ...(founders < size && { admission: { allow: ids.slice(founders) } }),
    length: 2,
    encoding: { type: 'integer', max: 1000 },
    threat: { corrupt: 0, dropout: 0.25 },
    ...terms
  }
  const taskFile = join(home, 'task.yaml')
  await writeFile(taskFile, stringify(written))
  const inputs = folders.map((own) => join(own, 'input.npy'))
  await Promise.all(inputs.map((file, number) => writeNpy(file, Int32Array.of(number + 1, 10))))
  return { task: createTask(written), taskFile, ids, folders, inputs }
}

/** Daemons of one process that a test started, what they told, and their end. */
export class Daemons {
  readonly running: Daemon[] = []
  readonly outcomes: DaemonOutcome[][] = []

  async start({ task, folders }: Members, number: number, options: Partial<DaemonOptions> = {}): Promise<Daemon> {
    const outcomes: DaemonOutcome[] = []
    const daemon = await Daemon.start({
      dataDir: folders[number],
      task,
      listen: ['/ip4/127.0.0.1/tcp/0'],
      bootstrap: [],
      mdns: false,
      local: true,
      logger: pino({ level: 'silent' }),
      closed: (outcome) => void outcomes.push(outcome),
      ...options
    })
    this.running.push(daemon)
    this.outcomes.push(outcomes)
    return daemon
  }

  async stop(): Promise<void> {
    await Promise.all(this.running.splice(0).map((daemon) => daemon.stop()))
    this.outcomes.splice(0)
  }
}
