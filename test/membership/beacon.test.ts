import assert from 'node:assert/strict'
import { burnedBeacon, genesisBeacon, nextBeacon } from '../../src/membership/beacon.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const filled = (byte: number, length = 32) => new Uint8Array(length).fill(byte)
const genesis = genesisBeacon(filled(1), filled(2))
const summed = { beacon: genesis, round: 7, cutHash: filled(4), contributions: [filled(5), filled(6)] }

// The values were computed from the formulas of §7 by an independent implementation.
describe('the beacon', () => {
  it('begins with the hash of task id, roster hash and public randomness', () => {
    assert.equal(hex(genesis), '28658dfc6dc37e3111e6a09d8ca8c05149376275cfc1d2adecbd22f0b17ad4cf')
    const random = genesisBeacon(filled(1), filled(2), filled(3))
    assert.equal(hex(random), 'c7ea2dd18636aaca7741d2c8f90c152fc0fcac4299fd6e93ac0058db0adedaef')
  })

  it('goes on, after a summed round, with the cut and what every included member opened', () => {
    assert.equal(hex(nextBeacon(summed)), 'ac87ac2319a99a016f0a0302cdf78cd1ded98e5ac1007fd4aa1e0112854d2899')
  })

  it('goes on, after a burned round, with the round number alone', () => {
    assert.equal(hex(burnedBeacon(genesis, 7)), '0eea59fdffccc0f2ce2c6db722ddbdae3675c7b99452a25b443b260d79a2465a')
  })

  it('differs when anything that goes into it differs, the order of the contributions included', () => {
    const others = [
      nextBeacon(summed),
      nextBeacon({ ...summed, beacon: filled(9) }),
      nextBeacon({ ...summed, round: 8 }),
      nextBeacon({ ...summed, cutHash: filled(9) }),
      nextBeacon({ ...summed, contributions: [filled(6), filled(5)] }),
      nextBeacon({ ...summed, contributions: [filled(5)] }),
      burnedBeacon(genesis, 7),
      burnedBeacon(genesis, 8),
      burnedBeacon(filled(9), 7)
    ]
    assert.equal(new Set(others.map(hex)).size, others.length)
  })

  it('refuses parts of a wrong length, and a summed round to which nobody contributed', () => {
    assert.throws(() => genesisBeacon(filled(1, 31), filled(2)), /task id has 32 bytes, not 31/)
    assert.throws(() => genesisBeacon(filled(1), filled(2, 33)), /roster hash has 32 bytes, not 33/)
    assert.throws(() => genesisBeacon(filled(1), filled(2), new Uint8Array(0)), /at least one byte/)
    assert.throws(() => nextBeacon({ ...summed, beacon: filled(1, 16) }), /beacon has 32 bytes/)
    assert.throws(() => nextBeacon({ ...summed, cutHash: filled(1, 16) }), /cut hash has 32 bytes/)
    assert.throws(() => nextBeacon({ ...summed, contributions: [filled(5), filled(6, 16)] }), /contribution/)
    assert.throws(() => nextBeacon({ ...summed, contributions: [] }), /has contributions/)
    assert.throws(() => burnedBeacon(filled(1, 16), 7), /beacon has 32 bytes/)
  })
})
