/**
 * A rejection that nobody handles ends a daemon, and Mocha keeps silent about it: it fails the test within which it came,
 * or the one after.
 */
const unhandled: unknown[] = []
process.on('unhandledRejection', (reason) => void unhandled.push(reason))

export const mochaHooks = {
  afterEach(): void {
    const [first] = unhandled.splice(0)
    if (first !== undefined) throw new Error('a rejection was not handled', { cause: first })
  }
}
