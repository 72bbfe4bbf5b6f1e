import type { ChildProcess } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { settingsFile } from '../../nodes/learner/settings.ts'
import type { LearnerSettings } from '../../nodes/learner/settings.ts'
import { until } from '../network/nodes.ts'
import type { Members } from './daemons.ts'
import { startSecagg } from './secagg.ts'
import type { Ended } from './secagg.ts'

/** A line of a learner's log. */
export interface Line {
  msg: string
  reason?: string
  code?: string
  round?: number
  model?: string
  examples?: number
  epsilon?: number
  delta?: number
  addresses?: string[]
}

/** `secagg learner` in a process of its own, which nobody launches, and what it logs. */
export class LearnerProcess {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  #log = ''

  constructor(file: string) {
    const { child, ended } = startSecagg('learner', '--config', file)
    this.child = child
    this.ended = ended
    child.stdout!.on('data', (text: string) => (this.#log += text))
  }

  of(msg: string): Line[] {
    const whole = this.#log.slice(0, this.#log.lastIndexOf('\n') + 1)
    return whole
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Line)
      .filter((line) => line.msg === msg)
  }

  get addresses(): string[] {
    return this.of('started')[0].addresses!
  }

  /** The last round that it has learned from; 0 for none. */
  get learned(): number {
    return this.of('learned').at(-1)?.round ?? 0
  }
}

/** Learners of a test, and their end. */
export class LearnerProcesses {
  readonly running: LearnerProcess[] = []

  /** Resolves when it runs. */
  async start(members: Members, settings: LearnerSettings, bootstrap: string[] = []): Promise<LearnerProcess> {
    const learner = new LearnerProcess(await configure(members, settings.member, settings, bootstrap))
    this.running.push(learner)
    await until(() => learner.of('started').length > 0, 'it runs', 30_000)
    return learner
  }

  /** As a user ends them, or at once. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<Ended[]> {
    return Promise.all(
      this.running.splice(0).map(async ({ child, ended }) => {
        child.kill(signal)
        return ended
      })
    )
  }
}

/** For the tests of one `describe`; none runs on afterwards. */
export function learnerProcesses(): LearnerProcesses {
  const learners = new LearnerProcesses()
  after(() => learners.stop('SIGKILL'))
  return learners
}

/** Writes what a learner needs into its folder. @returns its node's file */
export async function configure(
  { folders, taskFile }: Members,
  number: number,
  settings: object,
  bootstrap: string[] = []
): Promise<string> {
  const dataDir = folders[number]
  await writeFile(settingsFile(dataDir), JSON.stringify(settings))
  const file = join(dataDir, 'node.yaml')
  await writeFile(file, stringify({ dataDir, task: taskFile, bootstrap, local: true, api: { listen: 'off' } }))
  return file
}
