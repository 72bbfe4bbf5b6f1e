import { once } from 'node:events'
import { pino } from 'pino'
import { readConfig, readTask } from './config.ts'
import { Daemon } from './daemon.ts'
import type { DaemonOptions } from './daemon.ts'
import { LauncherLink } from './launcher-link.ts'

/** Runs a member from its file: under a launcher's orders where the process was started with an IPC channel, else alone. */
export async function runNode(file: string): Promise<number> {
  if (process.send !== undefined) return obey(file, new LauncherLink())
  const daemon = await startDaemon(file)
  await Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')])
  await daemon.stop()
  return 0
}

async function obey(file: string, link: LauncherLink): Promise<number> {
  try {
    await link.permitted()
    const daemon = await startDaemon(file, link.hooks)
    await link.serve(daemon)
    await daemon.stop()
    return 0
  } catch (error) {
    link.failed(error as Error)
    throw error
  }
}

/** Starts the member of a node's file. */
export async function startDaemon(
  file: string,
  hooks: Pick<DaemonOptions, 'phase' | 'closed' | 'application'> = {}
): Promise<Daemon> {
  const { task, logLevel, ...config } = await readConfig(file)
  // Synchronous: what was logged before a process is killed is what one wants to read.
  const logger = pino({ level: logLevel, base: undefined }, pino.destination({ fd: process.stdout.fd, sync: true }))
  const daemon = await Daemon.start({ ...config, ...hooks, task: await readTask(task), logger })
  logger.info({ id: daemon.id, addresses: daemon.addresses }, 'started')
  return daemon
}
