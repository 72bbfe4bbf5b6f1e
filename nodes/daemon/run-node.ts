import { constants } from 'node:os'
import { readConfig, readTask } from './config.ts'
import { Daemon } from './daemon.ts'
import type { DaemonOptions } from './daemon.ts'
import { LauncherLink } from './launcher-link.ts'
import { openLogs } from './logs.ts'
import type { Logs } from './logs.ts'
import { readNetworkKey } from './network-key.ts'
import type { Override } from './overrides.ts'

interface Running {
  daemon: Daemon
  logs: Logs
  stopSeconds: number
}

/** Runs a member from its file: under a launcher's orders where the process was started with an IPC channel, else alone. */
export async function runNode(file: string, overrides: readonly Override[] = []): Promise<number> {
  const told = toldToEnd()
  if (process.send !== undefined) return obey(file, overrides, new LauncherLink(), told)
  const running = await start(file, overrides)
  await told
  await finish(running)
  return 0
}

async function obey(
  file: string,
  overrides: readonly Override[],
  link: LauncherLink,
  told: Promise<void>
): Promise<number> {
  try {
    await link.permitted()
    const running = await start(file, overrides, link.hooks)
    const asked = link.serve(running.daemon).then(() => running.daemon.stop())
    await Promise.race([asked, told.then(() => finish(running))])
    return 0
  } catch (error) {
    link.failed(error as Error)
    throw error
  }
}

async function start(
  file: string,
  overrides: readonly Override[],
  hooks: Pick<DaemonOptions, 'phase' | 'closed'> = {}
): Promise<Running> {
  const { task, networkKey, stopSeconds, ...config } = await readConfig(file, overrides)
  const logs = openLogs(config)
  const daemon = await Daemon.start({
    ...config,
    ...hooks,
    task: await readTask(task),
    ...(networkKey !== undefined && { networkKey: await readNetworkKey(networkKey) }),
    logger: logs.round,
    componentLogger: logs.components
  })
  logs.network.info({ id: daemon.id, addresses: daemon.addresses }, 'started')
  return { daemon, logs, stopSeconds }
}

/** Lets a round that is running close, but no longer than the file allows; the others go on without this member then. */
async function finish({ daemon, logs, stopSeconds }: Running): Promise<void> {
  const { runningRound } = daemon.status()
  if (runningRound !== undefined) {
    logs.round.info({ round: runningRound, seconds: stopSeconds }, 'told to end: waiting for the round to close')
    if (!(await daemon.roundClosed(stopSeconds * 1000))) logs.round.warn({ round: runningRound }, 'round abandoned')
  }
  await daemon.stop()
  logs.network.info('ended')
}

/** Resolves when this process is told to end; told a second time, it ends at once. */
function toldToEnd(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  let told = false
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => {
      // An interrupt from the terminal reaches the whole group; a launcher ends its nodes itself.
      if (signal === 'SIGINT' && process.send !== undefined) return
      if (told) process.exit(128 + constants.signals[signal])
      told = true
      resolve()
    })
  return promise
}
