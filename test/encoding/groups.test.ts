import assert from 'node:assert/strict'
import fc from 'fast-check'
import { trimmedMean } from '../../src/encoding/groups.ts'

describe('the trimmed mean over groups', () => {
  it('is the mean where nothing is left out', () => {
    assert.deepEqual(
      [
        ...trimmedMean(
          [
            [1, 2],
            [3, 4],
            [8, 0]
          ],
          0
        )
      ],
      [4, 2]
    )
  })

  it('leaves out the largest and the smallest, element by element', () => {
    assert.deepEqual(
      [
        ...trimmedMean(
          [
            [1, 1e9],
            [3, 4],
            [-1e9, 2]
          ],
          1
        )
      ],
      [1, 4]
    )
  })

  it('stays between the honest means, whatever as many groups say as are left out', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -10, max: 10, noNaN: true }), { minLength: 3, maxLength: 9 }),
        fc.array(fc.double({ noNaN: true }), { minLength: 1, maxLength: 1 }),
        (honest, bad) => {
          const [mean] = trimmedMean(
            [...honest, ...bad].map((value) => [value]),
            1
          )
          assert.ok(mean >= Math.min(...honest) - 1e-9 && mean <= Math.max(...honest) + 1e-9)
        }
      )
    )
  })

  it('is refused where no group would be left', () => {
    assert.throws(() => trimmedMean([[1], [2]], 1), RangeError)
  })
})
