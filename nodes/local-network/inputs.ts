import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { quantise } from '../../src/encoding/fixed-point.ts'
import { fromIntegers } from '../../src/encoding/integers.ts'
import { readChunk } from '../../src/encoding/vector.ts'
import { InputError } from '../../src/errors.ts'
import type { FixedEncoding, IntegerEncoding } from '../../src/task/task.ts'
import { readNpy, writeNpy } from '../npy.ts'
import type { NpyValues } from '../npy.ts'
import { counted } from '../plural.ts'
import { UsageError } from '../usage-error.ts'
import { generateInput, reproducible } from './generated-inputs.ts'

const chunkElements = 16_384

/** Which file each member contributes in each round, and how long they all are. */
export interface Inputs {
  length: number
  file(member: number, round: number): string
}

interface Shape {
  peers: number
  rounds: number
  encoding: FixedEncoding | IntegerEncoding
}

/** Refuses what the encoder would refuse (§11): NaN and infinities, and for integers what is not whole or out of range. */
export function checkElements(values: NpyValues, encoding: FixedEncoding | IntegerEncoding): void {
  const chunk = new Float64Array(Math.min(chunkElements, values.length))
  const levels = new Uint32Array(chunk.length)
  for (let start = 0; start < values.length; start += chunkElements) {
    const part = chunk.subarray(0, Math.min(chunkElements, values.length - start))
    readChunk(values, start, part)
    if (encoding.type === 'integer') fromIntegers(part, levels, encoding, start)
    else quantise(part, levels, { encoding, factor: 1, start })
  }
}

/**
 * `peer-N.npy` and, for one round, `peer-N.round-R.npy` of a folder, each of them read and checked.
 * Throws InputError in one sentence that names the file, UsageError where the length is not the one that was asked for.
 */
export async function readInputs(folder: string, shape: Shape, length?: number): Promise<Inputs> {
  const { peers, rounds, encoding } = shape
  const overrides = new Map<string, string>()
  let first: { file: string; length: number } | undefined
  const check = async (file: string): Promise<void> => {
    const { values } = await readNpy(file)
    first ??= { file, length: values.length }
    if (length !== undefined && values.length !== length) {
      throw new UsageError(
        `--length is ${length}, and ${file} has ${counted(values.length, 'element')}; leave --length out`
      )
    }
    if (values.length === 0)
      throw new InputError('INPUT_LENGTH', `${file} is empty; give every member at least one element`)
    if (values.length !== first.length) {
      const lengths = `${file} has ${counted(values.length, 'element')} and ${first.file} has ${first.length}`
      throw new InputError('INPUT_LENGTH', `${lengths}; give all members vectors of one length`)
    }
    try {
      checkElements(values, encoding)
    } catch (error) {
      if (error instanceof InputError) throw new InputError(error.code, `${file}: ${error.message}`, { cause: error })
      throw error
    }
  }
  for (let member = 0; member < peers; member++) {
    await check(join(folder, `peer-${member}.npy`))
    for (let round = 1; round <= rounds; round++) {
      const file = join(folder, `peer-${member}.round-${round}.npy`)
      const exists = await access(file).then(
        () => true,
        () => false
      )
      if (!exists) continue
      await check(file)
      overrides.set(`${member}:${round}`, file)
    }
  }
  const file = (member: number, round: number): string =>
    overrides.get(`${member}:${round}`) ?? join(folder, `peer-${member}.npy`)
  return { length: first!.length, file }
}

/** Writes `peer-N.npy` for every member: the same for the same seed. */
export async function writeInputs(
  folder: string,
  { peers, encoding }: Shape,
  length: number,
  seed: string
): Promise<Inputs> {
  const file = (member: number): string => join(folder, `peer-${member}.npy`)
  for (let member = 0; member < peers; member++) {
    await writeNpy(file(member), generateInput(encoding, length, reproducible('input', seed, member)))
  }
  return { length, file }
}
