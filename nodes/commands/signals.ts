import { constants } from 'node:os'

/** An interrupted command ends at once with 128 + the signal's number; what it has started and made goes with it ('exit'). */
export function endOnSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => process.exit(128 + constants.signals[signal]))
  }
}
