import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { agreeAll, generateKeyPair } from '../../src/crypto/key-agreement.ts'
import { addMasks, createLanes } from '../../src/crypto/mask-stream.ts'
import type { Mask } from '../../src/crypto/mask-stream.ts'
import { randomBytes } from '../../src/crypto/primitives.ts'
import { Secret } from '../../src/crypto/secret.ts'
import { ThreadPool } from '../../src/crypto/thread-pool.ts'

/** The threads that this process starts from now on. */
function watchThreads(): { threads: Worker[]; stop: () => void } {
  const threads: Worker[] = []
  const watch = (worker: Worker): void => void threads.push(worker)
  process.on('worker', watch)
  return { threads, stop: () => void process.off('worker', watch) }
}

const manyMasks = (count: number): Mask[] =>
  Array.from({ length: count }, (_, i) => ({ seed: new Secret(randomBytes(32)), sign: i % 3 === 0 ? -1 : 1 }))

describe('the thread pool', () => {
  const pool = new ThreadPool({ threads: 2 })
  after(() => pool.close())

  it('lays the same masks as one thread, at any offset and length', async () => {
    const { threads, stop } = watchThreads()
    const place = fc.record({
      bits: fc.constantFrom(12, 25),
      length: fc.integer({ min: 1_100_000, max: 1_300_000 }),
      offset: fc.nat(70_000),
      count: fc.integer({ min: 4, max: 18 })
    })
    const same = fc.asyncProperty(place, async ({ bits, length, offset, count }) => {
      const masks = manyMasks(count)
      const alone = createLanes(bits, length).map((_, i) => i * 40_503)
      const shared = alone.slice()
      await addMasks(alone, masks, { offset })
      await pool.addMasks(shared, masks, { offset })
      assert.equal(Buffer.compare(Buffer.from(alone.buffer), Buffer.from(shared.buffer)), 0)
    })
    await fc.assert(same, { numRuns: 5 })
    stop()
    assert.equal(threads.length, 2, 'the work was done by threads')
  })

  it('lays the same masks as one thread where they are many and the lanes few', async () => {
    for (const bits of [12, 25]) {
      const masks = manyMasks(1500)
      const alone = createLanes(bits, 3001).map((_, i) => i * 40_503)
      const shared = alone.slice()
      await addMasks(alone, masks, { offset: 77 })
      await pool.addMasks(shared, masks, { offset: 77 })
      assert.deepEqual(shared, alone)
    }
  })

  it('agrees on the same seeds as one thread', async () => {
    const [attemptId, maskingSetHash] = [randomBytes(32), randomBytes(32)]
    const partners = Array.from({ length: 60 }, () => ({ id: randomBytes(38), key: generateKeyPair().publicKey }))
    const members = [partners, partners.slice(7), []].map((partners) => {
      const { secret } = generateKeyPair()
      return { secret, self: randomBytes(38), attemptId, maskingSetHash, partners }
    })
    const bytes = (seeds: Secret[][]): Uint8Array[][] => seeds.map((ofOne) => ofOne.map((seed) => seed.expose()))
    assert.deepEqual(bytes(await pool.agree(members)), bytes(await agreeAll(members)))
  })

  it('does not start threads for what is done in a moment', async () => {
    const { threads, stop } = watchThreads()
    const idle = new ThreadPool()
    const lanes = createLanes(25, 1000)
    await idle.addMasks(lanes, manyMasks(3))
    stop()
    assert.deepEqual(threads, [])
    assert.ok(lanes.some((lane) => lane !== 0))
  })

  it('fails by name when a thread dies, and serves the next vector', async () => {
    const { threads, stop } = watchThreads()
    const mortal = new ThreadPool({ threads: 2 })
    mortal.start()
    await once(process, 'worker')
    const masked = mortal.addMasks(createLanes(25, 8_000_000), manyMasks(64))
    const refused = assert.rejects(masked, { name: 'SecureAggregationError', code: 'WORKER_FAILED' })
    await threads[0].terminate()
    await refused
    stop()
    const lanes = createLanes(25, 3_000_000)
    const masks = manyMasks(2)
    await mortal.addMasks(lanes, masks)
    await addMasks(
      lanes,
      masks.map(({ seed, sign }): Mask => ({ seed, sign: sign === 1 ? -1 : 1 }))
    )
    assert.ok(lanes.every((lane) => lane === 0))
    await mortal.close()
  })

  it('stops when it is called off', async () => {
    const controller = new AbortController()
    const masked = pool.addMasks(createLanes(25, 4_000_000), manyMasks(32), { signal: controller.signal })
    controller.abort(new Error('called off'))
    await assert.rejects(masked, /called off/)
  })

  it('leaves no thread behind when it is closed', async () => {
    const { threads, stop } = watchThreads()
    const closed = new ThreadPool({ threads: 3 })
    closed.start()
    while (threads.length < 3) await once(process, 'worker')
    const ended = threads.map((thread) => once(thread, 'exit'))
    await closed.close()
    await Promise.all(ended)
    stop()
  })
})
