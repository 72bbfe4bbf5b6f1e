import { encode } from '@ipld/dag-cbor'
import { bytesToHex } from '@noble/hashes/utils.js'
import { decodeMessage } from '../../src/round/messages.ts'
import type { Message } from '../../src/round/messages.ts'
import type { DaemonOutcome } from './daemon-options.ts'
import type { ReportedOutcome } from './launcher-messages.ts'

/**
 * An outcome as it is told to whoever started the node. Of the decision only the value is told: two members may hold
 * different quorums of Commits for it.
 */
export function reportedOutcome({ decision, sum, ...outcome }: DaemonOutcome): ReportedOutcome {
  const { body } = decodeMessage(decision) as Message<'Decision'>
  return { ...outcome, hasSum: sum !== undefined, decided: bytesToHex(encode(body.value)) }
}
