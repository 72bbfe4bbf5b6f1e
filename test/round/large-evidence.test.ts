import assert from 'node:assert/strict'
import { sha256 } from '../../src/crypto/primitives.ts'
import { MessageError } from '../../src/errors.ts'
import { systemClock } from '../../src/network/clock.ts'
import { largestEvidence } from '../../src/round/evidence.ts'
import { LargeEvidence } from '../../src/round/large-evidence.ts'
import type { Body, Message } from '../../src/round/messages.ts'
import type { Frame } from '../../src/round/ports.ts'
import { n, say } from './fixtures.ts'

const evidence = new Uint8Array(300_000).fill(7)
const honest: Body<'EvidenceNotice'> = { culprit: 1, hash: sha256(evidence), bytes: evidence.length }

const notice = (from: number, over: Partial<Body<'EvidenceNotice'>> = {}): Message<'EvidenceNotice'> =>
  say('EvidenceNotice', from, { ...honest, ...over })

async function* inFrames(bytes: Uint8Array): AsyncGenerator<Frame> {
  for (let at = 0; at < bytes.length; at += 100_000) yield { kind: 'data', payload: bytes.subarray(at, at + 100_000) }
}

/** Who is asked, what they give, and what is taken of it. */
function asker(gives: (from: number) => AsyncIterable<Frame>, proves = true) {
  const asked: number[] = []
  const taken: Uint8Array[] = []
  const refusals: Error[] = []
  let settled: () => void = () => {}
  const large = new LargeEvidence({
    members: n,
    isHeld: () => taken.length > 0,
    ask: async ({ from }) => {
      asked.push(from)
      return gives(from)
    },
    take: async (bytes, { from }) => {
      if (!proves) throw new MessageError('INVALID', 'it proves nothing', { culprit: `peer-${from}` })
      taken.push(bytes)
      settled()
    },
    refused: (error) => {
      refusals.push(error)
      settled()
    },
    peerOf: (member) => `peer-${member}`,
    clock: systemClock,
    patience: 5000
  })
  const hear = async (message: Message<'EvidenceNotice'>): Promise<void> => {
    const over = new Promise<void>((resolve) => (settled = resolve))
    const before = asked.length
    large.heard(message)
    await new Promise((resolve) => setImmediate(resolve))
    if (asked.length > before) await over
    await new Promise((resolve) => setImmediate(resolve))
  }
  return { hear, asked, taken, refusals, large }
}

describe('evidence that is asked for', () => {
  it('is taken whole from whoever has it, and of nobody else once it is here', async () => {
    const { hear, asked, taken, refusals } = asker(() => inFrames(evidence))
    await hear(notice(2))
    await hear(notice(3))
    assert.deepEqual([asked, refusals], [[2], []])
    assert.deepEqual(taken, [evidence])
  })

  it('names whoever sends something else than it said, asks it no more, and is had from another', async () => {
    const { hear, asked, taken, refusals } = asker((from) => inFrames(from === 2 ? evidence.map(() => 8) : evidence))
    await hear(notice(2))
    await hear(notice(2, { culprit: 4 }))
    await hear(notice(3))
    assert.deepEqual([asked, taken.length], [[2, 3], 1])
    assert.deepEqual(
      refusals.map((error) => (error as MessageError).culprit),
      ['peer-2']
    )
  })

  it('names whoever brings what proves nothing, and asks it no more', async () => {
    const { hear, asked, refusals } = asker(() => inFrames(evidence), false)
    await hear(notice(2))
    await hear(notice(2))
    assert.deepEqual([asked, refusals.length], [[2], 1])
  })

  it('is asked for again of whoever broke off, for that may be the network’s fault', async () => {
    let broken = true
    const { hear, asked, taken } = asker(() => inFrames(broken ? evidence.subarray(0, 1000) : evidence))
    await hear(notice(2))
    broken = false
    await hear(notice(2))
    assert.deepEqual([asked, taken.length], [[2, 2], 1])
  })

  it('is never more than a sum of all members can take, nor against nobody', () => {
    const { large, asked } = asker(() => inFrames(evidence))
    for (const over of [{ bytes: largestEvidence(n) + 1 }, { culprit: n }])
      assert.throws(() => large.heard(notice(2, over)), { code: 'INVALID', culprit: 'peer-2' })
    assert.deepEqual(asked, [])
  })
})
