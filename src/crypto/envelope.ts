import { lengthPrefixed } from './hash.ts'
import { verifyEd25519 } from './primitives.ts'

const domain = 'secagg/1/signed'

/**
 * What a signature of the protocol is over: domain, type, context and body, each behind its length (four bytes,
 * big-endian), so that a signed message of one type or context can never parse as another (protocol, §2).
 */
export function envelopeBytes(type: string, context: Uint8Array, body: Uint8Array): Uint8Array {
  return lengthPrefixed([domain, type, context, body])
}

/** Ed25519 over the envelope, 64 bytes; `sign` holds the member's identity key. */
export async function signEnvelope(
  sign: (bytes: Uint8Array) => Promise<Uint8Array> | Uint8Array,
  type: string,
  context: Uint8Array,
  body: Uint8Array
): Promise<Uint8Array> {
  return sign(envelopeBytes(type, context, body))
}

/** Whether the owner of the raw 32-byte Ed25519 key signed this body as this type in this context. Never throws. */
export function verifyEnvelope(
  publicKey: Uint8Array,
  type: string,
  context: Uint8Array,
  body: Uint8Array,
  signature: Uint8Array
): boolean {
  return verifyEd25519(publicKey, envelopeBytes(type, context, body), signature)
}
