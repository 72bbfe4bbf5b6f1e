import { setTimeout as sleep } from 'node:timers/promises'
import { complete } from './words/problem.ts'

/** What somebody types, from topics that no single writer has all of. */
const beginnings = [
  'the wind',
  'i watered',
  'my telescope',
  'our goalkeeper',
  'the conductor',
  'please review',
  'the joiner'
]
const TYPED_MS = 9
/** What one member's own model says is cut where there is no room for more. */
const LEAST_ALONE = 24

export interface Prediction {
  typed: string
  together: string
  alone: string
}

/** How the joint model, and that of one member alone, go on with the same words. */
export function predictions(joint: Float32Array, alone: Float32Array): Prediction[] {
  const words = (parameters: Float32Array, typed: string): string => complete(parameters, typed).join(' ')
  return beginnings.map((typed) => ({ typed, together: words(joint, typed), alone: words(alone, typed) }))
}

/** Types them as they would appear on a keyboard; at once where nobody sits at a terminal. */
export async function typePredictions(
  stream: NodeJS.WriteStream,
  rows: readonly Prediction[],
  alone: number
): Promise<void> {
  const room = (stream.columns ?? 80) - 6
  const longest = Math.max(...rows.map(({ typed, together }) => typed.length + together.length)) + 1
  const width = Math.min(longest, room - LEAST_ALONE)
  stream.write(`\n  ${'you type … and all together go on'.padEnd(width)}   … and peer-${alone} alone\n`)
  stream.write(`  ${'─'.repeat(Math.max(0, width))}   ${'─'.repeat(LEAST_ALONE)}\n`)
  for (const { typed, together, alone: single } of rows) {
    stream.write(`  ${bold(stream, typed)}`)
    for (const letter of cut(` ${together}`, width - typed.length).padEnd(width - typed.length)) {
      stream.write(letter)
      if (stream.isTTY) await sleep(TYPED_MS)
    }
    stream.write(`   ${cut(single, room - width)}\n`)
  }
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, Math.max(0, length - 1))}…`
}

function bold({ isTTY }: NodeJS.WriteStream, text: string): string {
  return isTTY ? `\x1b[1m${text}\x1b[22m` : text
}
