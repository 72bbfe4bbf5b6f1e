// A member in a process of its own, for hole-punching.test.ts: options of a daemon come as a message, its addresses, how many
// members it is connected to and its rounds go out as such, and each further message wants a round.
import { join } from 'node:path'
import { pino } from 'pino'
import { Daemon } from '../../nodes/daemon/daemon.ts'
import type { DaemonOptions } from '../../nodes/daemon/daemon-options.ts'
import { readTask } from '../../nodes/daemon/config.ts'

export type RoutedOptions = Pick<DaemonOptions, 'dataDir' | 'listen' | 'bootstrap' | 'relay'> & { taskFile: string }

export interface RoutedReport {
  addresses?: string[]
  connected?: number
  closed?: { status: string; included: number[] }
}

const report = (told: RoutedReport): void => void process.send!(told)
let daemon: Daemon | undefined

process.on('message', (message) => void take(message as RoutedOptions | 'want'))
process.on('disconnect', () => process.exit())

async function take(message: RoutedOptions | 'want'): Promise<void> {
  if (message === 'want') return daemon!.want()
  const { taskFile, ...options } = message
  daemon = await Daemon.start({
    ...options,
    task: await readTask(taskFile),
    mdns: false,
    local: false,
    logger: pino({ level: 'silent' }),
    closed: ({ status, included }) => report({ closed: { status, included } })
  })
  await daemon.stage(1, join(options.dataDir, 'input.npy'))
  setInterval(() => report({ connected: daemon!.status().subscribed.length }), 200)
  report({ addresses: daemon.addresses })
}
