import { reproducible } from '../../local-network/generated-inputs.ts'
import type { Examples } from '../neural-network.ts'
import type { Problem } from '../problem.ts'
import { bell, draw, SIDE } from './drawing.ts'
import type { Hand } from './drawing.ts'

const KINDS = 10
const EACH = 40
const HELD_OUT_EACH = 8

/** Recognising hand-drawn-like digits: each member has its own hand, and drawings of two or three kinds only. */
export const digits: Problem = {
  name: 'digits',
  members: 128,
  architecture: { inputs: SIDE * SIDE, hidden: 24, outputs: KINDS },
  training: { epochs: 1, batch: 20, rate: 0.15 },
  rates: { fedavg: 1.5, fedavgm: 0.4, fedadam: 0.02 },
  underNoise: { clip: 1, rate: 1 },
  clip: 1,
  norm: 1.5,
  largestWeight: 128,
  own: (member) => drawings(member, EACH, 'own'),
  heldOut: (member) => drawings(member, HELD_OUT_EACH, 'held out')
}

/** The kinds of digit that a member has: two, and every third member three. */
export function kindsOf(member: number): number[] {
  const first = (3 * member) % KINDS
  const kinds = [first, (first + 1 + (Math.floor(member / KINDS) % 4)) % KINDS]
  return member % 3 === 2 ? [...kinds, (first + 5) % KINDS] : kinds
}

function drawings(member: number, each: number, purpose: string): Examples {
  const hand = handOf(member)
  const uniform = reproducible('drawings', member, purpose)
  const labels = kindsOf(member).flatMap((kind) => Array<number>(each).fill(kind))
  const inputs = new Float32Array(labels.length * SIDE * SIDE)
  labels.forEach((kind, at) => inputs.set(draw(kind, hand, uniform), at * SIDE * SIDE))
  return { count: labels.length, inputs, labels: Int32Array.from(labels) }
}

function handOf(member: number): Hand {
  const uniform = reproducible('hand', member)
  return { slant: 0.12 * bell(uniform), turn: 0.06 * bell(uniform), pen: 1 + 0.12 * bell(uniform) }
}
