import { createCipheriv } from 'node:crypto'
import { addMasks, createLanes } from '../src/crypto/mask-stream.ts'
import { randomBytes } from '../src/crypto/primitives.ts'
import { Secret } from '../src/crypto/secret.ts'
import { reconstructSecret, shareSecret } from '../src/crypto/shamir.ts'

/** `npm run bench -- --json`: one line a benchmark, the median of several runs after a warm-up, beside the machine's floor. */

const json = process.argv.includes('--json')
const masks = 128
const elements = 1_048_576
const bits = 25

async function median(runs: number, work: () => void | Promise<void>): Promise<number> {
  const times: number[] = []
  for (let run = 0; run <= runs; run++) {
    const began = performance.now()
    await work()
    if (run > 0) times.push(performance.now() - began)
  }
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)]
}

function report(name: string, ms: number, more: Record<string, unknown> = {}): void {
  if (json) return console.log(JSON.stringify({ name, ms, unit: 'ms', ...more }))
  const notes = Object.entries(more).map(
    ([key, value]) => `${key} ${typeof value === 'number' ? value.toFixed(2) : String(value)}`
  )
  console.log(`${name.padEnd(20)} ${ms.toFixed(2).padStart(10)} ms  ${notes.join(', ')}`)
}

/** AES-256-CTR alone over the bytes that `mask.expand` needs, with the call size that is fastest here. */
async function floorOfAes(): Promise<number> {
  const bytes = masks * elements * 4
  let best = Infinity
  for (let size = 16 * 1024; size <= 1024 * 1024; size *= 2) {
    const zeros = new Uint8Array(size)
    const ms = await median(3, () => {
      const cipher = createCipheriv('aes-256-ctr', new Uint8Array(32), new Uint8Array(16))
      for (let done = 0; done < bytes; done += size) cipher.update(zeros)
    })
    best = Math.min(best, ms)
  }
  return best
}

const floor = await floorOfAes()
report('floor.aes', floor, { bytes: masks * elements * 4 })

const lanes = createLanes(bits, elements)
const seeds = Array.from({ length: masks }, (_, at) => ({
  seed: randomBytes(32),
  sign: at % 2 === 0 ? (1 as const) : (-1 as const)
}))
const expand = await median(5, () => addMasks(lanes, seeds))
report('mask.expand', expand, { masks, elements, bits, overFloor: expand / floor })

const holders = Array.from({ length: 100 }, (_, at) => at + 1)
const threshold = 45
const secret = new Secret(randomBytes(32))
let shares: Uint8Array[] = []
report('shamir.share', await median(50, () => void (shares = shareSecret(secret, threshold, holders))), {
  holders: 100,
  threshold
})
const held = holders.map((x, place) => ({ x, share: shares[place] }))
report('shamir.reconstruct', await median(50, () => reconstructSecret(held, threshold).wipe()), {
  holders: 100,
  threshold
})
