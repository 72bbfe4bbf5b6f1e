import assert from 'node:assert/strict'
import { isSignedBy, signingAs } from '../../src/round/signatures.ts'
import { everyone, identities, roster } from './fixtures.ts'

describe('remembered signatures', () => {
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
  const [one, other] = everyone.map((member) => roster.members[member].publicKey)

  it('of one’s own hold for just the bytes and the key that they were made with', async () => {
    const signature = await signingAs(one, identities[0].sign)(bytes('said'))
    assert.ok(isSignedBy(one, bytes('said'), signature))
    assert.ok(!isSignedBy(one, bytes('never said'), signature))
    assert.ok(!isSignedBy(other, bytes('said'), signature))
    assert.ok(!isSignedBy(one, bytes('said'), signature.with(0, signature[0] ^ 1)))
  })

  it('of others are valid again and again, and an invalid one never becomes so', () => {
    const signature = identities[1].sign(bytes('vote'))
    const forged = identities[2].sign(bytes('vote'))
    for (let again = 0; again < 3; again++) {
      assert.ok(isSignedBy(other, bytes('vote'), signature))
      assert.ok(!isSignedBy(other, bytes('vote'), forged))
    }
  })
})
