import { readFile } from 'node:fs/promises'
import * as dagCbor from '@ipld/dag-cbor'
import { z } from 'zod'
import { SecureAggregationError } from '../../src/errors.ts'
import type { EvidenceProof } from '../../src/round/third-party.ts'

/** Evidence as one file, with all that its check takes beside the task: DAG-CBOR. */

const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'not bytes')
const shape = z.strictObject({
  format: z.literal(1),
  evidence: bytes,
  chain: z.array(z.strictObject({ roster: bytes, made: bytes, effective: bytes })),
  before: bytes.nullable()
})

export function encodeEvidenceFile({ evidence, chain = [], before = null }: EvidenceProof): Uint8Array {
  return dagCbor.encode({ format: 1, evidence, chain, before })
}

/** What such a file holds; whether it proves anything is for `verifyEvidence`. @throws SecureAggregationError EVIDENCE_UNREADABLE */
export async function readEvidenceFile(path: string): Promise<EvidenceProof> {
  try {
    const { evidence, chain, before } = shape.parse(dagCbor.decode(await readFile(path)))
    return { evidence, chain, before }
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : 'it has another form'
    throw new SecureAggregationError('EVIDENCE_UNREADABLE', `${path} is no evidence: ${why}`, { cause })
  }
}
