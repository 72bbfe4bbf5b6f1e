import { ed25519 } from '@noble/curves/ed25519.js'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'

/** Every encoding of a point of small order that a lenient decoder reads, up to the sign bit. */
const smallOrderEncodings = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f'
].map(hexToBytes)

/** A check takes milliseconds, and the same members come in a task, in its roster and in the rosters that follow. */
const rememberedKeys = 4096
const canonical = new Set<string>()

/**
 * Whether 32 bytes encode a point of small order. Verification refuses these as public key and as R in every runtime:
 * some versions of Node do (24.21), some do not (22.13), and honest members must not disagree about a signature.
 */
export function isSmallOrderEncoding(point: Uint8Array): boolean {
  return smallOrderEncodings.some((known) => known.every((byte, i) => byte === (i < 31 ? point[i] : point[i] & 0x7f)))
}

/**
 * Whether a public key is one that an honest signer can have: canonical encoding (RFC 8032 §5.1.3), on the curve, and
 * in the prime-order group without being small. Rosters admit no other, so that all verifiers agree on every signature.
 */
export function isCanonicalEd25519Key(publicKey: Uint8Array): boolean {
  if (publicKey.length !== 32) return false
  const hex = bytesToHex(publicKey)
  if (canonical.has(hex)) return true
  if (!isProperPoint(publicKey)) return false
  if (canonical.size >= rememberedKeys) canonical.delete(canonical.values().next().value!)
  canonical.add(hex)
  return true
}

function isProperPoint(publicKey: Uint8Array): boolean {
  try {
    const point = ed25519.Point.fromBytes(publicKey)
    return !point.isSmallOrder() && point.isTorsionFree()
  } catch {
    return false
  }
}
