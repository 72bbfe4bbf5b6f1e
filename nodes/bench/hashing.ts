import { VectorHasher } from '../../src/crypto/merkle.ts'
import { randomBytes, sha256 } from '../../src/crypto/primitives.ts'
import { CHUNK_ELEMENTS, packedLength } from '../../src/encoding/packing.ts'
import { DATA_FRAME_BYTES } from '../../src/round/vectors.ts'
import { medians, report } from './measure.ts'

const bytes = 100_000_000
const bits = 26

/** The root of a packed vector as its frames come in, beside one plain hash of it. */
export async function benchHashing(): Promise<void> {
  const vector = randomBytes(bytes)
  const root = (): void => {
    const chunkBytes = packedLength(CHUNK_ELEMENTS, bits)
    const hasher = new VectorHasher({ attemptId: new Uint8Array(32), member: 0, chunkBytes })
    for (let at = 0; at < bytes; at += DATA_FRAME_BYTES) hasher.update(vector.subarray(at, at + DATA_FRAME_BYTES))
    hasher.finish()
  }
  const [floor, merkle] = await medians(7, [() => void sha256(vector), root])
  report('floor.sha256', floor, { bytes })
  report('merkle.root', merkle, { bytes, overFloor: merkle / floor })
}
