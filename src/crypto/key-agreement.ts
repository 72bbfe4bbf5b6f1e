import { H, lengthPrefixed } from './hash.ts'
import { hkdfSha256, randomBytes, x25519, x25519Agreement, x25519KeyPair } from './primitives.ts'
import { Secret } from './secret.ts'

const encoder = new TextEncoder()
const seedLength = 32
const none = new Uint8Array(0)

export interface KeyPair {
  secret: Secret
  /** 32 bytes, X25519 (RFC 7748). */
  publicKey: Uint8Array
  /** See `x25519Agreement`: the secret is not imported again. */
  agree: (publicKey: Uint8Array) => Uint8Array
  /** Overwrites the secret, and lets go of what was imported of it. */
  wipe: () => void
}

/** A fresh X25519 key pair, used for one attempt only (protocol, rule S1). */
export function generateKeyPair(random: (length: number) => Uint8Array = randomBytes): KeyPair {
  const bytes = random(seedLength)
  const secret = new Secret(bytes)
  const { publicKey, agree } = x25519KeyPair(bytes)
  let imported: KeyPair['agree'] | undefined = agree
  return {
    secret,
    publicKey,
    agree: (partnerKey) => (imported ?? x25519Agreement(bytes))(partnerKey),
    wipe: () => {
      secret.wipe()
      imported = undefined
    }
  }
}

/**
 * Order of byte strings, unsigned, a prefix before what it begins: negative, 0 or positive. The order of members
 * (protocol, §2).
 */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shorter = Math.min(a.length, b.length)
  for (let i = 0; i < shorter; i++) if (a[i] !== b[i]) return a[i] - b[i]
  return a.length - b.length
}

/** +1 for the lower of two peer ids, −1 for the higher: their masks cancel in the sum. */
export function maskSign(self: Uint8Array, partner: Uint8Array): 1 | -1 {
  const order = compareBytes(self, partner)
  if (order === 0) throw new RangeError('a member shares no mask with itself: self and partner have the same peer id')
  return order < 0 ? 1 : -1
}

function derive(shared: Uint8Array, salt: Uint8Array, info: Uint8Array): Secret {
  const key = new Secret(hkdfSha256(shared, salt, info, seedLength))
  shared.fill(0)
  return key
}

export interface Partner {
  /** Bytes of the peer id. */
  id: Uint8Array
  /** Its `maskKey`: 32 bytes. */
  key: Uint8Array
}

export interface MaskContext {
  /** The member's own mask key. */
  secret: Secret
  /** Bytes of its own peer id. */
  self: Uint8Array
  attemptId: Uint8Array
  maskingSetHash: Uint8Array
}

/** One member and those that it shares masks with. */
export type Agreements = MaskContext & { partners: Partner[] }

/**
 * `k_uv` of the protocol, §4, with each partner, in their order: 32-byte seeds that both ends compute alike.
 * Throws `LowOrderKeyError` on a low-order key. For many partners: the own secret is imported once, or not again where
 * there is a key pair of it.
 */
export function pairwiseMaskSeeds(
  { secret, self, attemptId, maskingSetHash, partners }: Agreements,
  agree: KeyPair['agree'] = x25519Agreement(secret.expose())
) {
  const salt = H('mask-salt', attemptId, maskingSetHash)
  return partners.map(({ id, key }): Secret => {
    const [lower, higher] = maskSign(self, id) === 1 ? [self, id] : [id, self]
    return derive(agree(key), salt, lengthPrefixed(['mask', lower, higher]))
  })
}

/** Key agreements on the thread that asks, a member at a time: the partners of one take a few milliseconds. */
export async function agreeAll(members: Agreements[], pause?: () => Promise<void>): Promise<Secret[][]> {
  const seeds: Secret[][] = []
  for (const member of members) {
    seeds.push(pairwiseMaskSeeds(member))
    await pause?.()
  }
  return seeds
}

/** `k_uv` of the protocol, §4, with one partner. */
export function pairwiseMaskSeed(context: MaskContext & { partner: Uint8Array; partnerKey: Uint8Array }): Secret {
  const { partner, partnerKey, ...own } = context
  return pairwiseMaskSeeds({ ...own, partners: [{ id: partner, key: partnerKey }] })[0]
}

/**
 * The key under which `dealer` seals its shares for `holder`: 32 bytes, the same from either end's secret, different in
 * the two directions and in every attempt. Throws `LowOrderKeyError`.
 */
export function sealKey(of: {
  /** The own secret, or where it is needed again and again, what `x25519Agreement` made of it. */
  secret: Secret | ((publicKey: Uint8Array) => Uint8Array)
  partnerKey: Uint8Array
  dealer: Uint8Array
  holder: Uint8Array
  attemptId: Uint8Array
}): Secret {
  const { secret, partnerKey } = of
  const shared = typeof secret === 'function' ? secret(partnerKey) : x25519(secret.expose(), partnerKey)
  return derive(shared, H('seal-salt', of.attemptId), lengthPrefixed(['seal', of.dealer, of.holder]))
}

/** What an opened self-mask seed adds to the beacon (protocol, §7): 32 bytes. */
export function beaconContribution(seed: Secret): Uint8Array {
  return hkdfSha256(seed.expose(), none, encoder.encode('beacon'), seedLength)
}

/** `seedCommitment` of a `KeyAdvert` (protocol, §4): 32 bytes. Hiding, because the seed has 256 random bits. */
export function seedCommitment(seed: Secret): Uint8Array {
  return H('seed-commitment', seed.expose())
}
