import { format } from 'node:util'
import type { ComponentLogger, Logger as ComponentLog } from '@libp2p/interface'
// Fast structured logs, a JSON line each.
import { pino } from 'pino'
import type { Level, Logger } from 'pino'
import { logModules } from './config-schema.ts'
import type { LogModule, NodeConfig } from './config-schema.ts'

/** The logs of a daemon: one stream of JSON lines on stdout, each with its module, at that module's level. */
export type Logs = Readonly<Record<LogModule, Logger>> & { readonly components: ComponentLogger }

export function openLogs({ logLevel, logLevels }: Pick<NodeConfig, 'logLevel' | 'logLevels'>): Logs {
  // Synchronous: what was logged before a process is killed is what one wants to read.
  const root = pino({ level: 'trace', base: undefined }, pino.destination({ fd: process.stdout.fd, sync: true }))
  const levelOf = (module: LogModule): string => logLevels[module] ?? (module === 'libp2p' ? 'silent' : logLevel)
  const loggers = Object.fromEntries(
    logModules.map((module) => [module, root.child({ module }, { level: levelOf(module) })])
  ) as Record<LogModule, Logger>
  return { ...loggers, components: componentLogger(loggers) }
}

/** Components of our own service are the network module, all others libp2p. */
function componentLogger({ network, libp2p }: Record<LogModule, Logger>): ComponentLogger {
  return {
    forComponent: (name) => componentLog(name.startsWith('libp2p:secagg:') ? network : libp2p, name)
  }
}

/** libp2p logs its errors where it goes on without: a peer that cannot be dialled is one. */
function componentLog(logger: Logger, component: string): ComponentLog {
  const write =
    (level: Level) =>
    (template: unknown, ...values: unknown[]): void => {
      if (logger.isLevelEnabled(level)) logger[level]({ component }, render(template, values))
    }
  return Object.assign(write('debug'), {
    error: write('warn'),
    trace: write('trace'),
    enabled: logger.isLevelEnabled('debug'),
    newScope: (scope: string) => componentLog(logger, `${component}:${scope}`)
  })
}

/** libp2p's own letters (%p a peer, %a an address, %e an error, …) stand for what prints itself; node's are node's. */
function render(template: unknown, values: unknown[]): string {
  if (typeof template !== 'string') return format(template, ...values)
  let next = 0
  const own = values.map((value) => value)
  const text = template.replaceAll(/%([a-zA-Z%])/g, (letters, letter: string) => {
    if (letter === '%') return letters
    const at = next++
    if (!'abcekpt'.includes(letter) || at >= own.length) return letters
    own[at] = letter === 'e' ? reasonOf(own[at]) : String(own[at])
    return '%s'
  })
  return format(text, ...own)
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}
