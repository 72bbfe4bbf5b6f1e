import type { Architecture, Examples } from '../neural-network.ts'
import { likeliest, predict } from '../neural-network.ts'
import type { Problem } from '../problem.ts'
import { END, placeOf, START, vocabulary } from './vocabulary.ts'
import { write, writer, WRITERS } from './writers.ts'

/** How many words before it a word is predicted from, and how many numbers stand for each. */
const CONTEXT = 3
const WIDTH = 12
/** Sentences of each writer that nobody trains on. */
const HELD_OUT = 20

const architecture: Architecture = {
  vocabulary: { words: vocabulary.length, context: CONTEXT, width: WIDTH },
  inputs: CONTEXT * WIDTH,
  hidden: 32,
  outputs: vocabulary.length
}

/** Next-word prediction: each member is a writer, whose sentences stay on its keyboard. */
export const words: Problem = {
  name: 'words',
  members: WRITERS,
  architecture,
  training: { epochs: 2, batch: 32, rate: 0.8 },
  rates: { fedavg: 1.6, fedavgm: 0.4, fedadam: 0.05 },
  underNoise: { clip: 8, rate: 2 },
  clip: 2,
  norm: 20,
  largestWeight: 4096,
  own: (member) => examplesOf(write(member, writer(member).sentences, 'own')),
  heldOut: (member) => examplesOf(write(member, HELD_OUT, 'held out'))
}

/** Every word of every sentence, and its end, from the words before. */
export function examplesOf(sentences: string[][]): Examples {
  const inputs: number[] = []
  const labels: number[] = []
  for (const sentence of sentences) {
    const typed = [...Array<number>(CONTEXT).fill(START), ...sentence.map(placeOf), END]
    for (let at = CONTEXT; at < typed.length; at++) {
      inputs.push(...typed.slice(at - CONTEXT, at))
      labels.push(typed[at])
    }
  }
  return { count: labels.length, inputs: Int32Array.from(inputs), labels: Int32Array.from(labels) }
}

/** What a keyboard would go on with after a beginning: the likeliest word, again and again, until the sentence ends. */
export function complete(parameters: Float32Array, beginning: string, most = 9): string[] {
  const typed = [...Array<number>(CONTEXT).fill(START), ...beginning.split(' ').map(placeOf)]
  const added: string[] = []
  while (added.length < most) {
    const probabilities = predict(architecture, parameters, Int32Array.from(typed.slice(-CONTEXT)))
    const next = likeliest(probabilities)
    if (next === END || next === START) break
    typed.push(next)
    added.push(vocabulary[next])
  }
  return added
}
