import { constants } from 'node:os'

/** An interrupted command ends at once with 128 + the signal's number; what it has started and made goes with it ('exit'). @returns what ends that */
export function endOnSignals(): () => void {
  const handlers = (['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map((signal) => {
    const end = (): never => process.exit(128 + constants.signals[signal])
    process.once(signal, end)
    return () => process.off(signal, end)
  })
  return () => handlers.forEach((remove) => remove())
}
