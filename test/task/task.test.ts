import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import * as dagCbor from '@ipld/dag-cbor'
import { peerIdFromString } from '@libp2p/peer-id'
import fc from 'fast-check'
import { TaskError } from '../../src/errors.ts'
import { canonicalTask, createTask, dataDeadlineMs } from '../../src/task/task.ts'
import type { TaskInput } from '../../src/task/task.ts'
import { members, peerIdOf } from './members.ts'

const ids = members(128)
const fixed: TaskInput = { name: 'word-counts', members: ids.slice(0, 8), length: 1000, encoding: { type: 'fixed' } }
const integer: TaskInput = { ...fixed, encoding: { type: 'integer', max: 65535 } }

function refused(input: unknown, code: TaskError['code'] = 'TASK_INVALID'): string {
  try {
    createTask(input)
  } catch (error) {
    assert.ok(error instanceof TaskError, String(error))
    assert.equal(error.code, code)
    assert.ok(!error.message.includes('\n') && error.message.length < 500)
    return error.message
  }
  throw new assert.AssertionError({ message: `${JSON.stringify(input)} was accepted` })
}

describe('a task', () => {
  it('fills in every default, in the units of the protocol', () => {
    const task = createTask(fixed)
    assert.deepEqual(task.encoding, { type: 'fixed', clip: 8, bits: 16, rounding: 'stochastic' })
    assert.deepEqual(task.threat, { corrupt: 1250, dropout: 2500 })
    assert.equal(task.deadlineMs, 10_000)
    assert.deepEqual(createTask(integer).encoding, { type: 'integer', min: 0, max: 65535 })
  })

  it('orders its members by the bytes of their peer ids, whatever the order in the file', () => {
    const task = createTask(fixed)
    const bytes = task.members.map((id) => Buffer.from(peerIdFromString(id).toMultihash().bytes))
    assert.deepEqual(
      bytes,
      bytes.toSorted((a, b) => Buffer.compare(a, b))
    )
    fc.assert(
      fc.property(fc.shuffledSubarray(fixed.members, { minLength: 8 }), (shuffled) => {
        assert.equal(createTask({ ...fixed, members: shuffled }).id, task.id)
      }),
      { numRuns: 20 }
    )
  })

  it('is named by the SHA-256 of its canonical bytes', () => {
    const task = createTask(fixed)
    const digest = createHash('sha256').update(canonicalTask(task)).digest()
    assert.deepEqual(Buffer.from(task.idBytes), digest)
    assert.equal(task.id, digest.toString('hex'))
  })

  it('has canonical bytes that decode to its terms and nothing else', () => {
    const randomness = 'AB'.repeat(32)
    const { weighted, ...encoding } = {
      type: 'fixed',
      clip: 1e100,
      bits: 20,
      rounding: 'nearest',
      weighted: 7
    } as const
    const task = createTask({ ...fixed, encoding: { ...encoding, weighted }, randomness })
    assert.equal(task.randomness, 'ab'.repeat(32))
    assert.deepEqual(dagCbor.decode(canonicalTask(task)), {
      version: 1,
      name: 'word-counts',
      members: task.members.map((id) => peerIdFromString(id).toMultihash().bytes),
      length: 1000,
      encoding: { ...encoding, weighted },
      threat: { corrupt: 1250, dropout: 2500 },
      deadlineMs: 10_000,
      randomness: new Uint8Array(32).fill(0xab)
    })
  })

  it('never changes its name: the id of one task is fixed for ever', () => {
    assert.equal(createTask(fixed).id, 'dc7863c70fb77beca569c0da63749f8a1c700ffb1b0f3caa9f04ae6207a3b436')
  })

  it('has another id once any field is changed', () => {
    const base = { type: 'fixed', clip: 8, bits: 16 } as const
    const variants: TaskInput[] = [
      fixed,
      integer,
      { ...fixed, name: 'word-count' },
      { ...fixed, members: ids.slice(0, 9) },
      { ...fixed, members: ids.slice(1, 9) },
      { ...fixed, length: 1001 },
      { ...fixed, encoding: { ...base, clip: 8.5 } },
      { ...fixed, encoding: { ...base, bits: 17 } },
      { ...fixed, encoding: { ...base, rounding: 'nearest' } },
      { ...fixed, encoding: { ...base, weighted: 1 } },
      { ...fixed, encoding: { ...base, weighted: 2 } },
      { ...fixed, encoding: { type: 'integer', max: 65534 } },
      { ...fixed, encoding: { type: 'integer', max: 65535, min: -1 } },
      { ...fixed, threat: { corrupt: 0.1251 } },
      { ...fixed, threat: { dropout: 0.2501 } },
      { ...fixed, deadline: 10.001 },
      { ...fixed, randomness: '00'.repeat(32) },
      { ...fixed, randomness: '00'.repeat(31) + '01' }
    ]
    assert.equal(new Set(variants.map((input) => createTask(input).id)).size, variants.length)
  })

  it('has up to 1200 members; with more than 128 it names randomness, has no groups, and a threat that graphs can stand', () => {
    const many = members(1201)
    const randomness = '5a'.repeat(32)
    const large = { ...fixed, members: many.slice(0, 1000), randomness }
    assert.equal(createTask(large).thresholds.graph!.shareDegree, 128)
    const { thresholds } = createTask({ ...large, threat: { corrupt: 0.2, dropout: 0.1 } })
    assert.deepEqual([thresholds.threshold, thresholds.graph!.maskDegree], [67, 86])
    const refused: Array<[object, RegExp]> = [
      [{ randomness: undefined }, /^a task of more than 128 members needs randomness: 32 public random bytes in hex/],
      [{ groups: { count: 2, trim: 0 } }, /^a task with groups has at most 128 members, not 1000; leave groups out/],
      [{ members: many }, /members has more than 1200 members; remove members$/],
      [
        { threat: { corrupt: 0.3, dropout: 0.04 } },
        /shares, more than 254; lower dropout to 0\.0379 or lower corrupt to 0\.2989$/
      ]
    ]
    for (const [change, sentence] of refused)
      assert.throws(() => createTask({ ...large, ...change }), { message: sentence })
    assert.equal(createTask({ ...fixed, members: many.slice(0, 128) }).thresholds.graph, undefined)
  })

  it('has the same id with its defaults written out', () => {
    const encoding = { type: 'fixed', clip: 8, bits: 16, rounding: 'stochastic' } as const
    const written: TaskInput = { ...fixed, encoding, threat: { corrupt: 0.125, dropout: 0.25 }, deadline: 10 }
    assert.equal(createTask(written).id, createTask(fixed).id)
  })

  it('keeps every fraction of ten-thousandths and every deadline of milliseconds exactly', () => {
    const three = { ...fixed, members: ids.slice(0, 3) }
    const parts = [fc.integer({ min: 0, max: 3333 }), fc.integer({ min: 0, max: 4999 })] as const
    fc.assert(
      fc.property(...parts, fc.integer({ min: 100, max: 3_600_000 }), (corrupt, dropout, deadlineMs) => {
        const written = { corrupt: Number(`${corrupt}e-4`), dropout: Number(`${dropout}e-4`) }
        const task = createTask({ ...three, threat: written, deadline: Number(`${deadlineMs}e-3`) })
        assert.deepEqual({ ...task.threat, deadlineMs: task.deadlineMs }, { corrupt, dropout, deadlineMs })
      }),
      { numRuns: 100 }
    )
  })

  it('has another id with an admission policy, and the same one for the same policy in another order', () => {
    const allow = ids.slice(20, 23)
    const listed = createTask({ ...fixed, admission: { allow } })
    assert.notEqual(listed.id, createTask(fixed).id)
    assert.equal(createTask({ ...fixed, admission: { allow: allow.toReversed() } }).id, listed.id)
    assert.notEqual(createTask({ ...fixed, admission: { allow, vouches: 2 } }).id, listed.id)
    assert.match(refused({ ...fixed, admission: {} }), /admission admits nobody/)
    assert.match(refused({ ...fixed, admission: { allow: [...allow, allow[0]] } }), /names a peer twice/)
    assert.match(refused({ ...fixed, admission: { vouches: 0 } }), /admission.vouches/)
  })

  it('cannot be changed', () => {
    const task = createTask(fixed)
    for (const part of [task, task.members, task.encoding, task.threat, task.thresholds])
      assert.ok(Object.isFrozen(part))
  })

  it('counts the weight and the clipped fraction as further elements', () => {
    assert.equal(createTask(integer).laneCount, 1000)
    assert.equal(createTask(fixed).laneCount, 1001)
    assert.equal(createTask({ ...fixed, encoding: { type: 'fixed', weighted: 100 } }).laneCount, 1002)
  })
})

describe('the bits of a task', () => {
  it('hold the sum of the whole roster and not one bit more', () => {
    fc.assert(
      fc.property(fc.integer({ min: 3, max: 128 }), fc.integer({ min: 1, max: 2 ** 25 }), (count, range) => {
        const { bits } = createTask({
          ...fixed,
          members: ids.slice(0, count),
          encoding: { type: 'integer', max: range }
        })
        assert.ok(count * range < 2 ** bits && count * range >= 2 ** (bits - 1))
      }),
      { numRuns: 30 }
    )
  })

  it('are exact where float64 is not', () => {
    const task = createTask({ ...fixed, encoding: { type: 'integer', min: 2 ** 53 - 5, max: 2 ** 53 - 1 } })
    assert.equal(task.bits, 6)
    const four = { ...fixed, members: ids.slice(0, 4) }
    assert.equal(createTask({ ...four, encoding: { type: 'integer', max: 2 ** 30 - 1 } }).bits, 32)
    refused({ ...four, encoding: { type: 'integer', max: 2 ** 30 } }, 'BITS_EXCEEDED')
  })

  it('are refused beyond 32, with the numbers and what to lower', () => {
    const three = { ...fixed, members: ids.slice(0, 3) }
    const all = { ...fixed, members: ids }
    assert.match(
      refused({ ...three, encoding: { type: 'fixed', bits: 31 } }, 'BITS_EXCEEDED'),
      /^3 members × 31 bits need 33 bits, more than 32; lower encoding\.bits to 30$/
    )
    createTask({ ...three, encoding: { type: 'fixed', bits: 30 } })
    assert.match(refused({ ...all, encoding: { type: 'fixed', bits: 31 } }, 'BITS_EXCEEDED'), /bits to 25$/)
    createTask({ ...all, encoding: { type: 'fixed', bits: 25 } })
    refused({ ...all, encoding: { type: 'fixed', bits: 26 } }, 'BITS_EXCEEDED')
    const range = { type: 'integer', min: -10, max: 2 ** 32 } as const
    assert.match(refused({ ...three, encoding: range }, 'BITS_EXCEEDED'), /lower encoding\.max to 1431655755$/)
    createTask({ ...three, encoding: { ...range, max: 1431655755 } })
    refused({ ...three, encoding: { ...range, max: 1431655756 } }, 'BITS_EXCEEDED')
  })
})

describe('the deadline of phases in which vectors travel', () => {
  it('adds the time of every packed vector at 8 MiB a second', () => {
    const task = createTask({ ...integer, length: 2 ** 20, encoding: { type: 'integer', max: 8191 } })
    assert.equal(task.bits, 16)
    assert.equal(dataDeadlineMs(task), 10_000 + 2000)
  })

  it('is hardly longer than the phase deadline for short vectors', () => {
    assert.equal(dataDeadlineMs(createTask({ ...fixed, length: 1, deadline: 0.1 })), 101)
  })
})

describe('a task file', () => {
  it('is refused with one sentence that names the field', () => {
    const cases: [unknown, RegExp][] = [
      [undefined, /must be an object/],
      ['name: x', /must be an object/],
      [{}, /name is missing; members is missing; length is missing$/],
      [{ ...fixed, name: 'Word Counts' }, /: name must be 1 to 64 characters of a-z, 0-9 and -$/],
      [{ ...fixed, name: 'a'.repeat(65) }, /: name must be/],
      [{ ...fixed, name: 5 }, /: name must be a text$/],
      [{ ...fixed, members: 'all' }, /: members must be a list/],
      [{ ...fixed, members: ids.slice(0, 2) }, /: members needs at least 3/],
      [{ ...fixed, length: 0 }, /: length must be a whole number from 1 to 268435456$/],
      [{ ...fixed, length: 2 ** 28 + 1 }, /: length must be/],
      [{ ...fixed, length: 1.5 }, /: length must be/],
      [{ ...fixed, encoding: { type: 'float' } }, /: encoding\.type must name the type 'fixed' or 'integer'/],
      [{ ...fixed, encoding: {} }, /: encoding\.type is missing/],
      [{ ...fixed, encoding: { type: 'fixed', clip: 0 } }, /: encoding\.clip must be/],
      [{ ...fixed, encoding: { type: 'fixed', clip: Infinity } }, /: encoding\.clip must be a finite/],
      [{ ...fixed, encoding: { type: 'fixed', bits: 1 } }, /: encoding\.bits must be a whole number from 2 to 31/],
      [{ ...fixed, encoding: { type: 'fixed', bits: 32 } }, /: encoding\.bits must be/],
      [{ ...fixed, encoding: { type: 'fixed', rounding: 'up' } }, /: encoding\.rounding must be 'stochastic' or/],
      [{ ...fixed, encoding: { type: 'fixed', bits: 4, weighted: 16 } }, /: encoding\.weighted must be at most 15/],
      [{ ...fixed, encoding: { type: 'fixed', weighted: 0 } }, /: encoding\.weighted must be/],
      [{ ...fixed, encoding: { type: 'integer' } }, /: encoding\.max is missing$/],
      [{ ...fixed, encoding: { type: 'integer', max: 0 } }, /: encoding\.max must be above encoding\.min/],
      [{ ...fixed, encoding: { type: 'integer', max: 2 ** 53 } }, /: encoding\.max must be a whole number/],
      [{ ...fixed, threat: { corrupt: 0.00005 } }, /: threat\.corrupt must be a fraction .* at most four decimals$/],
      [{ ...fixed, threat: { dropout: 1 } }, /: threat\.dropout must be a fraction/],
      [{ ...fixed, threat: { dropout: -0.1 } }, /: threat\.dropout must be a fraction/],
      [{ ...fixed, deadline: 0.05 }, /: deadline must be seconds/],
      [{ ...fixed, deadline: 0.1005 }, /: deadline must be seconds/],
      [{ ...fixed, deadline: 3601 }, /: deadline must be seconds/],
      [{ ...fixed, randomness: 'ff' }, /: randomness must be 32 bytes in hex/]
    ]
    for (const [input, sentence] of cases) assert.match(refused(input), sentence)
  })

  it('is refused without an encoding or privacy, and with both', () => {
    const { encoding, ...bare } = fixed
    assert.match(refused(bare), /: encoding is missing$/)
    const privacy = { noiseMultiplier: 1, delta: 1e-5 }
    assert.match(refused({ ...bare, encoding, privacy }), /: encoding cannot stand beside privacy/)
    assert.match(refused({ ...bare, privacy: { delta: 1e-5 } }), /: privacy\.noiseMultiplier is missing/)
  })

  it('is refused with an unknown field, and told which one was meant', () => {
    assert.match(refused({ ...fixed, lenght: 5 }), /a task has no field "lenght" \(did you mean "length"\?\)$/)
    assert.match(
      refused({ ...fixed, encoding: { type: 'fixed', clp: 5 } }),
      /encoding has no field "clp" \(did you mean "clip"\?\)$/
    )
    assert.match(
      refused({ ...fixed, threat: { corupt: 0.1 } }),
      /threat has no field "corupt" \(did you mean "corrupt"\?\)$/
    )
    assert.match(refused({ ...fixed, encoding: { type: 'integer', max: 5, clip: 5 } }), /encoding has no field "clip"/)
    assert.match(refused({ ...fixed, password: 1 }), /a task has no field "password"; remove it$/)
  })

  it('is refused with a member that is no Ed25519 peer id, is named twice or has an unsafe key', () => {
    const others = ids.slice(0, 3)
    const bad = [
      '',
      'QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC',
      '16Uiu2HAmPhWXFmF9X1TD3PjWGT6nFhWkcbRCCcFbRrKwkMBtvsbP',
      ids[3].slice(0, -1),
      `${ids[3]}1`,
      ids[3].replace('12D3KooW', '12D3Koow'),
      peerIdFromString(ids[3]).toCID().toString()
    ]
    for (const text of bad)
      assert.match(refused({ ...fixed, members: [...others, text] }), /: members\[3\] is no Ed25519/)
    assert.match(refused({ ...fixed, members: [...others, others[1]] }), /: members\[3\] repeats members\[1\]/)
    const identityPoint = Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 1 : 0))
    assert.match(refused({ ...fixed, members: [...others, peerIdOf(identityPoint)] }), /: members\[3\] holds an unsafe/)
  })

  it('is refused when its threat is infeasible', () => {
    assert.match(refused({ ...fixed, threat: { corrupt: 0.4 } }, 'THREAT_INFEASIBLE'), /lower corrupt to 0\.2499/)
  })
})
