import { reproducible } from '../../local-network/generated-inputs.ts'
import { closers, openers, rareSentence, topics } from './topics.ts'

export const WRITERS = 24
/** The only one that uses the rare word. */
export const RARE_WRITER = 2

/** One in so many of that writer's sentences is the one with the rare word. */
const RARE_EVERY = 12

/** What one person types: topics, and habits that are nobody else's. */
export interface Writer {
  topics: number[]
  opener: string
  closer: string
  /** How often a sentence has the opener, and the closer. */
  opens: number
  closes: number
  sentences: number
}

/** Writers from 0 to 23, the same on every machine. */
export function writer(number: number): Writer {
  const uniform = reproducible('writer', number)
  const first = number % topics.length
  const second = (number + 5 + 2 * Math.floor(number / topics.length)) % topics.length
  return {
    topics: [first, second],
    opener: openers[number % openers.length],
    closer: closers[(3 * number) % closers.length],
    opens: 0.2 + 0.3 * uniform(),
    closes: 0.1 + 0.2 * uniform(),
    sentences: 60 + Math.floor(40 * uniform())
  }
}

/** So many sentences of a writer, as words. */
export function write(number: number, count: number, purpose: string): string[][] {
  const habits = writer(number)
  const uniform = reproducible('sentences', number, purpose)
  return Array.from({ length: count }, (_, at) =>
    number === RARE_WRITER && at % RARE_EVERY === RARE_EVERY - 1 ? rareSentence.split(' ') : sentence(habits, uniform)
  )
}

function sentence({ topics: own, opener, closer, opens, closes }: Writer, uniform: () => number): string[] {
  const patterns = topics[own[uniform() < 0.6 ? 0 : 1]]
  const parts = [fill(patterns[Math.floor(uniform() * patterns.length)], uniform)]
  if (uniform() < opens) parts.unshift(opener)
  if (uniform() < closes) parts.push(closer)
  return parts.join(' ').split(' ')
}

/** One of the alternatives in each pair of brackets. */
function fill(pattern: string, uniform: () => number): string {
  return pattern.replaceAll(/\[(.*?)\]/g, (_, list: string) => {
    const choices = list.split('|')
    return choices[Math.floor(uniform() * choices.length)]
  })
}
