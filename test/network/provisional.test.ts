import assert from 'node:assert/strict'
import { Provisional } from '../../src/network/provisional.ts'
import type { ProvisionalSum } from '../../src/round/outcome.ts'
import { burned, context, decisionFor, hashOf, roster, say } from '../round/fixtures.ts'

const sumUnder = (root: string): ProvisionalSum => ({
  round: context.round,
  epoch: 0,
  included: [0, 1, 2, 3],
  sum: 'sums/3',
  audit: { chunks: 1, of: 1 },
  root: hashOf(root)
})
const value = {
  kind: 'summed' as const,
  cutHash: hashOf('cut'),
  beacon: hashOf('beacon'),
  rosterHash: roster.hash,
  deckHash: hashOf('deck')
}
const closedWith = (root: string) => say('Decision', 1, decisionFor('closing', value, hashOf(root))).encoded
const closedBurned = say('Decision', 1, decisionFor('closing', burned)).encoded

function watched() {
  const events: string[] = []
  const name = (root: Uint8Array): string => (root.every((byte, at) => byte === hashOf('one')[at]) ? 'one' : 'other')
  const provisional = new Provisional(
    ({ root }) => events.push(`told ${name(root)}`),
    ({ root }) => events.push(`withdrew ${name(root)}`)
  )
  return { events, provisional }
}

describe('a sum that an application has before its round is closed', () => {
  it('is final with the closing that names it', () => {
    const { events, provisional } = watched()
    provisional.take(sumUnder('one'))
    provisional.conclude({ round: context.round, decision: closedWith('one') })
    assert.deepEqual(events, ['told one'])
  })

  it('is withdrawn where the round burns after all, or closes with another sum', () => {
    for (const decision of [closedBurned, closedWith('other')]) {
      const { events, provisional } = watched()
      provisional.take(sumUnder('one'))
      provisional.conclude({ round: context.round, decision })
      provisional.conclude({ round: context.round, decision })
      assert.deepEqual(events, ['told one', 'withdrew one'])
    }
  })

  it('gives way to the one of a later lock', () => {
    const { events, provisional } = watched()
    provisional.take(sumUnder('one'))
    provisional.take(sumUnder('other'))
    provisional.conclude({ round: context.round, decision: closedWith('other') })
    assert.deepEqual(events, ['told one', 'withdrew one', 'told other'])
  })
})
