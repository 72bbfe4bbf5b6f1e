import { constants } from 'node:os'
import type { RunningApi } from './api/server.ts'
import { readConfig, readTask } from './config.ts'
import { Daemon } from './daemon.ts'
import type { Application, DaemonOptions } from './daemon-options.ts'
import { LauncherLink } from './launcher-link.ts'
import type { Ordered } from './launcher-link.ts'
import type { Logger } from 'pino'
import { openLogs } from './logs.ts'
import type { Logs } from './logs.ts'
import { readNetworkKey } from './network-key.ts'
import type { Override } from './overrides.ts'

/** A program on top of a member. */
export interface Program {
  application: Application
  /** What a launcher orders of the member goes through this. */
  ordered(daemon: Daemon): Ordered
  /** It runs, and no launcher says what to do. */
  began(daemon: Daemon): void
}

/** Of what lies in the member's folder. */
type OpenProgram = (folder: string, logger: Logger) => Promise<Program>

interface Running {
  program?: Program
  daemon: Daemon
  api?: RunningApi
  logs: Logs
  stopSeconds: number
}

/** Runs a member from its file: under a launcher's orders where the process was started with an IPC channel, else alone. */
export async function runNode(
  file: string,
  overrides: readonly Override[] = [],
  program?: OpenProgram
): Promise<number> {
  const told = toldToEnd()
  if (process.send !== undefined) return obey({ file, overrides, program }, new LauncherLink(), told)
  const running = await start({ file, overrides, program }, 'alone')
  running.program?.began(running.daemon)
  await told
  await finish(running)
  return 0
}

interface Start {
  file: string
  overrides: readonly Override[]
  program?: OpenProgram
}

async function obey(what: Start, link: LauncherLink, told: Promise<void>): Promise<number> {
  try {
    await link.permitted()
    const running = await start(what, link.hooks)
    const asked = link
      .serve(running.program?.ordered(running.daemon) ?? running.daemon)
      .then(() => running.daemon.stop())
    await Promise.race([asked, told.then(() => finish(running))])
    return 0
  } catch (error) {
    link.failed(error as Error)
    throw error
  }
}

async function start(
  { file, overrides, program: open }: Start,
  hooks: 'alone' | Pick<DaemonOptions, 'phase' | 'closed'>
): Promise<Running> {
  const { task, networkKey, stopSeconds, keepSums, keepRounds, api, ...config } = await readConfig(file, overrides)
  // A launcher hands the inputs over itself.
  const serves = hooks === 'alone' && api.listen !== 'off'
  const logs = openLogs(config)
  const program = await open?.(config.dataDir, logs.round)
  const daemon = await Daemon.start({
    ...config,
    ...(hooks !== 'alone' && hooks),
    application: program?.application,
    awaitsInputs: serves && program === undefined,
    retention: { keepSums, keepRounds },
    task: await readTask(task),
    ...(networkKey !== undefined && { networkKey: await readNetworkKey(networkKey) }),
    logger: logs.round,
    componentLogger: logs.components
  })
  logs.network.info({ id: daemon.id, addresses: daemon.addresses }, 'started')
  if (!serves) return { program, daemon, logs, stopSeconds }
  try {
    // A fifth of all modules: whoever serves nothing starts without them.
    const { startApi } = await import('./api/server.ts')
    return { program, daemon, api: await startApi(daemon, api, logs.api), logs, stopSeconds }
  } catch (error) {
    await daemon.stop()
    throw error
  }
}

/** Lets a round that is running close, but no longer than the file allows; the others go on without this member then. */
async function finish({ daemon, api, logs, stopSeconds }: Running): Promise<void> {
  const { runningRound } = daemon.status()
  if (runningRound !== undefined) {
    logs.round.info({ round: runningRound, seconds: stopSeconds }, 'told to end: waiting for the round to close')
    if (!(await daemon.roundClosed(stopSeconds * 1000))) logs.round.warn({ round: runningRound }, 'round abandoned')
  }
  await api?.close()
  await daemon.stop()
  logs.network.info('ended')
}

/** A signal to a process group comes once more through whoever started this process: npx, or a Node that is too old. */
const ECHO_MS = 500

/** Resolves when this process is told to end; told a second time, it ends at once. */
function toldToEnd(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  let toldAt: number | undefined
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => {
      // An interrupt from the terminal reaches the whole group; a launcher ends its nodes itself.
      if (signal === 'SIGINT' && process.send !== undefined) return
      toldAt ??= performance.now()
      if (performance.now() - toldAt > ECHO_MS) process.exit(128 + constants.signals[signal])
      resolve()
    })
  return promise
}
