import { strokes } from './strokes.ts'

export const SIDE = 12
const PEN = 0.065

/** One person's hand: how it leans, turns and presses, in each digit a little differently. */
export interface Hand {
  slant: number
  turn: number
  pen: number
}

/** Bell-shaped, standard deviation 1, never beyond 3.5. */
export function bell(uniform: () => number): number {
  return (uniform() + uniform() + uniform() + uniform() - 2) * Math.sqrt(3)
}

/** A digit as SIDE × SIDE shades from 0 to 1, drawn with strokes that shake, and with a noisy camera. */
export function draw(digit: number, hand: Hand, uniform: () => number): Float32Array {
  const place = placing(hand, uniform)
  const lines = strokes[digit].map((line) => {
    const [dx, dy] = [0.02 * bell(uniform), 0.02 * bell(uniform)]
    return line.map(([x, y]) => place(x + dx + 0.012 * bell(uniform), y + dy + 0.012 * bell(uniform)))
  })
  const pen = PEN * hand.pen * (1 + 0.15 * bell(uniform))
  const shades = new Float32Array(SIDE * SIDE)
  for (let pixel = 0; pixel < shades.length; pixel++) {
    const x = ((pixel % SIDE) + 0.5) / SIDE
    const y = (Math.floor(pixel / SIDE) + 0.5) / SIDE
    const away = Math.min(...lines.map((line) => distance(x, y, line)))
    const ink = 1 / (1 + Math.exp((away - pen) * 60))
    shades[pixel] = Math.min(1, Math.max(0, ink + 0.08 * bell(uniform)))
  }
  return shades
}

/** Turns, slants, stretches and moves a point. */
function placing({ slant, turn }: Hand, uniform: () => number): (x: number, y: number) => [number, number] {
  const angle = turn + 0.09 * bell(uniform)
  const lean = slant + 0.08 * bell(uniform)
  const [wide, high] = [0.92 + 0.07 * bell(uniform), 0.92 + 0.07 * bell(uniform)]
  const [right, down] = [0.5 + 0.035 * bell(uniform), 0.5 + 0.035 * bell(uniform)]
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)]
  return (x, y) => {
    const [u, v] = [(x - 0.5 - lean * (y - 0.5)) * wide, (y - 0.5) * high]
    return [right + cos * u - sin * v, down + sin * u + cos * v]
  }
}

/** From a point to the nearest of a line through points. */
function distance(x: number, y: number, line: (readonly [number, number])[]): number {
  let least = Infinity
  for (let at = 1; at < line.length; at++) {
    const [ax, ay] = line[at - 1]
    const [bx, by] = [line[at][0] - ax, line[at][1] - ay]
    const along = Math.min(1, Math.max(0, ((x - ax) * bx + (y - ay) * by) / (bx * bx + by * by || 1)))
    least = Math.min(least, Math.hypot(x - ax - along * bx, y - ay - along * by))
  }
  return least
}
