/**
 * A rejection that nobody handles ends a daemon, and Mocha keeps silent about it: it fails the test within which it came,
 * or the one after.
 */
const unhandled: unknown[] = []
process.on('unhandledRejection', (reason) => void unhandled.push(reason))

/** Where processes and pages share a machine, one may be slow beyond all deadlines, and a test is tried once more. */
const withProcesses = /\/test\/(nodes|network|browser|package|examples)\//

export const mochaHooks = {
  beforeEach(this: Mocha.Context): void {
    // Elsewhere a second try would only lose the counterexample that the first has found.
    const test = this.currentTest!
    if (!withProcesses.test(test.file ?? '')) test.retries(0)
  },

  afterEach(): void {
    const [first] = unhandled.splice(0)
    if (first !== undefined) throw new Error('a rejection was not handled', { cause: first })
  }
}
