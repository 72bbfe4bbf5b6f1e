import { peerIdFromString } from '@libp2p/peer-id'
import { z } from 'zod'
import { isCanonicalEd25519Key } from '../crypto/primitives.ts'
import { LARGEST_COMPLETE_GRAPH, LARGEST_ROSTER, TEN_THOUSANDTHS } from './thresholds.ts'

/** 2^28 elements: the longest vector of a task. */
export const LONGEST_VECTOR = 2 ** 28

/** Of Ed25519 peer ids, whose public key is embedded. Their text in base58 always begins so. */
const ed25519Prefix = '12D3KooW'

const member = z.string().superRefine((text, context) => {
  const fault = memberFault(text)
  if (fault !== undefined) context.addIssue({ code: 'custom', message: fault })
})

/** What is wrong with a member's peer id, or undefined. Keys are checked here so that no later signature check can differ. */
function memberFault(text: string): string | undefined {
  const wanted = `is no Ed25519 peer id in base58 (${ed25519Prefix}…); take the id that the member's node prints`
  if (!text.startsWith(ed25519Prefix)) return wanted
  try {
    const peerId = peerIdFromString(text)
    if (peerId.type !== 'Ed25519' || peerId.toString() !== text) return wanted
    if (!isCanonicalEd25519Key(peerId.publicKey.raw))
      return 'holds an unsafe Ed25519 key; let that member make a new key'
  } catch {
    return wanted
  }
  return undefined
}

const members = z
  .array(member)
  .min(3, 'needs at least 3 members; add members')
  .max(LARGEST_ROSTER, `has more than ${LARGEST_ROSTER} members; remove members`)
  .superRefine((list, context) => {
    const places = new Map(list.map((text, index) => [text, index] as const).toReversed())
    list.forEach((text, index) => {
      const first = places.get(text)
      if (first === index) return
      context.addIssue({ code: 'custom', path: [index], message: `repeats members[${first}]; name each member once` })
    })
  })

function whole(least: number, largest: number): z.ZodNumber {
  const message = `must be a whole number from ${least} to ${largest}`
  return z.number(message).int(message).min(least, message).max(largest, message)
}

/** A decimal fraction that is a whole number of `1/parts`, kept as that number: what is hashed is never a rounded float. */
function decimal(least: number, largest: number, parts: number, message: string) {
  return z
    .number(message)
    .min(least, message)
    .max(largest, message)
    .refine((value) => Math.round(value * parts) / parts === value, message)
    .transform((value) => Math.round(value * parts))
}

const fraction = decimal(
  0,
  1 - 1 / TEN_THOUSANDTHS,
  TEN_THOUSANDTHS,
  'must be a fraction from 0 to 0.9999 with at most four decimals'
)
const seconds = decimal(0.1, 3600, 1000, 'must be seconds from 0.1 to 3600, in whole milliseconds')

const safeInteger = z.number('must be a whole number').int('must be a whole number from −(2^53 − 1) to 2^53 − 1')

// Far inside float64, so that neither a step nor the sum of all members can leave it.
const clip = z
  .number('must be a finite number above 0')
  .min(1e-100, 'must be at least 1e-100')
  .max(1e100, 'must be at most 1e100')

const fixed = z
  .strictObject({
    type: z.literal('fixed'),
    clip: clip.default(8),
    bits: whole(2, 31).default(16),
    rounding: z.enum(['stochastic', 'nearest'], "must be 'stochastic' or 'nearest'").default('stochastic'),
    weighted: whole(1, 2 ** 31 - 1).optional()
  })
  .superRefine(({ bits, weighted }, context) => {
    if (weighted === undefined || weighted < 2 ** bits) return
    const message = `must be at most ${2 ** bits - 1}, the largest number of ${bits} bits; lower it or raise encoding.bits`
    context.addIssue({ code: 'custom', path: ['weighted'], message })
  })

const integer = z
  .strictObject({ type: z.literal('integer'), min: safeInteger.default(0), max: safeInteger })
  .refine(({ min, max }) => min < max, { path: ['max'], message: 'must be above encoding.min; raise it' })

/** Distributed noise in place of an encoding (§12): clip is the L2 norm of a member's vector. */
const privacy = z.strictObject({
  clip: clip.default(1),
  noiseMultiplier: z
    .number('must be a number from 0.0001 to 1000')
    .min(1e-4, 'must be at least 0.0001')
    .max(1000, 'must be at most 1000'),
  delta: z
    .number('must be a number above 0 and below 0.1')
    .min(1e-15, 'must be at least 1e-15')
    .max(0.1, 'must be at most 0.1'),
  bits: whole(8, 32).default(20),
  budget: z
    .number('must be a number above 0')
    .positive('must be above 0')
    .max(1e6, 'must be at most 1000000')
    .optional()
})

/** Sums per group and a mean over the groups that leaves the `trim` largest and smallest out, element by element. */
const groups = z
  .strictObject({ count: whole(2, 42), trim: whole(0, 20).default(1) })
  .refine(({ count, trim }) => 2 * trim < count, {
    path: ['trim'],
    message:
      'leaves no group over: it is left out twice, of the largest and of the smallest; lower it or raise groups.count'
  })

/** Who may join later: peers on the list, and those that enough different members vouch for. Left out, nobody joins. */
const admission = z
  .strictObject({
    allow: z
      .array(member)
      .min(1, 'names nobody; name a peer or leave it out')
      .refine((list) => new Set(list).size === list.length, 'names a peer twice; name each peer once')
      .optional(),
    vouches: whole(1, LARGEST_COMPLETE_GRAPH).optional()
  })
  .refine(({ allow, vouches }) => allow !== undefined || vouches !== undefined, {
    message: 'admits nobody; give it allow or vouches, or leave it out'
  })

/** How often each chunk of a sum is checked on average (§10), or all of them by every member. */
const audit = z.union(
  [z.literal('full'), z.int().min(0).max(LARGEST_ROSTER)],
  `must be 'full' or a whole number from 0 to ${LARGEST_ROSTER}`
)

const encoding = z.discriminatedUnion('type', [fixed, integer], "must name the type 'fixed' or 'integer'")

/** The shape of a task as a user writes it, with every default. Unknown fields are refused. */
export const taskSchema = z
  .strictObject({
    name: z.string().regex(/^[a-z0-9-]{1,64}$/, 'must be 1 to 64 characters of a-z, 0-9 and -'),
    members,
    length: whole(1, LONGEST_VECTOR),
    encoding: encoding.optional(),
    privacy: privacy.optional(),
    groups: groups.optional(),
    threat: z.strictObject({ corrupt: fraction.default(1250), dropout: fraction.default(2500) }).prefault({}),
    deadline: seconds.default(10_000),
    shards: whole(1, LARGEST_ROSTER).default(1),
    audit: audit.optional(),
    randomness: z
      .string()
      .regex(/^[0-9a-fA-F]{64}$/, 'must be 32 bytes in hex (64 digits)')
      .toLowerCase()
      .optional(),
    admission: admission.optional()
  })
  .superRefine((task, context) => {
    if ((task.encoding === undefined) !== (task.privacy === undefined)) return
    const message =
      task.privacy === undefined
        ? "must name the type 'fixed' or 'integer'"
        : 'cannot stand beside privacy, which encodes in its own way; leave one of them out'
    context.addIssue({ code: 'custom', path: ['encoding'], message })
  })

/** What a user writes, as YAML, JSON or an object: fractions, seconds, and only what differs from the defaults. */
export type TaskInput = z.input<typeof taskSchema>
export type TaskFields = z.output<typeof taskSchema>
/**
 * Numbers from −clip to clip in 2^bits steps, beyond which they are clipped; `weighted` is the largest weight, if inputs
 * have one.
 */
export type FixedEncoding = Readonly<z.output<typeof fixed>>
/**
 * Differential privacy (§12): vectors are clipped to the L2 norm `clip`, and the noise of nMin − f members together has
 * the deviation `noiseMultiplier · clip`. `bits` are those of a ring element, `budget` the ε that no member goes beyond.
 */
export type PrivateEncoding = Readonly<{
  type: 'skellam'
  clip: number
  noiseMultiplier: number
  delta: number
  bits: number
  budget?: number
}>
/** Sums per group (§13): how many groups, and how many are left out at both ends of the trimmed mean. */
export interface GroupTerms {
  readonly count: number
  readonly trim: number
}
/** Who may join later (§7): peer ids, and how many members must vouch for another peer. */
export type Admission = Readonly<{ allow?: readonly string[]; vouches?: number }>
/** Whole numbers from min to max, both included, summed exactly. */
export type IntegerEncoding = Readonly<z.output<typeof integer>>

/** Every field name there is, for advice on misspelt ones. */
export const fieldNames: readonly string[] = [
  ...Object.keys(taskSchema.shape),
  ...Object.keys(fixed.shape),
  ...Object.keys(integer.shape),
  ...Object.keys(privacy.shape),
  ...Object.keys(groups.shape),
  ...Object.keys(admission.shape),
  'corrupt',
  'dropout'
]
