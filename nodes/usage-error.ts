import { SecureAggregationError } from '../src/errors.ts'

/** The command line was typed wrongly: exit code 2. */
export class UsageError extends SecureAggregationError {
  static override name = 'UsageError'
  constructor(message: string) {
    super('USAGE', message)
  }
}
