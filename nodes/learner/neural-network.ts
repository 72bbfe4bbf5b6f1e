// TensorFlow.js computes with tensors; a two-layer network needs no more of it than its core and plain processors.
import * as tf from '@tensorflow/tfjs-core'
import '@tensorflow/tfjs-backend-cpu'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { reproducible } from '../local-network/generated-inputs.ts'

// Production mode also keeps it from recommending its native build on every start.
tf.enableProdMode()
await tf.setBackend('cpu')

/** One hidden layer; before it, where there is a vocabulary, each word of the context becomes `width` learned numbers. */
export interface Architecture {
  vocabulary?: { words: number; context: number; width: number }
  /** Numbers that enter the hidden layer. */
  inputs: number
  hidden: number
  /** Kinds to choose from. */
  outputs: number
}

export interface Examples {
  count: number
  /** `count` rows: of word numbers where there is a vocabulary, else of `inputs` numbers. */
  inputs: Int32Array | Float32Array
  /** Which output is right. */
  labels: Int32Array
}

export interface Training {
  epochs: number
  batch: number
  rate: number
}

export interface Score {
  /** Mean cross-entropy, in nats. */
  loss: number
  accuracy: number
  examples: number
}

/** Rows that are scored at a time. */
const SCORED_TOGETHER = 512

/** The shapes of the parameters, as they lie in the flat vector one after the other. */
function shapes({ vocabulary, inputs, hidden, outputs }: Architecture): [rows: number, columns: number][] {
  const embedding: [number, number][] = vocabulary === undefined ? [] : [[vocabulary.words, vocabulary.width]]
  return [...embedding, [inputs, hidden], [1, hidden], [hidden, outputs], [1, outputs]]
}

export function parameterCount(architecture: Architecture): number {
  return shapes(architecture).reduce((sum, [rows, columns]) => sum + rows * columns, 0)
}

/** What everybody starts from: uniform within 1/√rows, the same bytes for the same seed; biases are zero. */
export function initialParameters(architecture: Architecture, seed: string): Float32Array {
  const parameters = new Float32Array(parameterCount(architecture))
  const uniform = reproducible('parameters', seed)
  let at = 0
  for (const [rows, columns] of shapes(architecture)) {
    const isEmbedding = at === 0 && architecture.vocabulary !== undefined
    const bound = rows === 1 ? 0 : isEmbedding ? 0.5 : 1 / Math.sqrt(rows)
    for (let i = 0; i < rows * columns; i++) parameters[at++] = (2 * uniform() - 1) * bound
  }
  return parameters
}

/** Stochastic gradient descent from some parameters, which stay as they are. The event loop turns between its steps. */
export async function train(
  architecture: Architecture,
  parameters: Float32Array,
  examples: Examples,
  { epochs, batch, rate }: Training,
  uniform: () => number
): Promise<Float32Array> {
  let weights = tensors(architecture, parameters)
  const order = Int32Array.from({ length: examples.count }, (_, at) => at)
  for (let epoch = 0; epoch < epochs; epoch++) {
    shuffle(order, uniform)
    for (let start = 0; start < order.length; start += batch) {
      const next = tf.tidy(() =>
        step(architecture, weights, take(examples, order.subarray(start, start + batch)), rate)
      )
      tf.dispose(weights)
      weights = next
      await nextTurn()
    }
  }
  const trained = flat(weights, parameters.length)
  tf.dispose(weights)
  return trained
}

export function evaluate(architecture: Architecture, parameters: Float32Array, examples: Examples): Score {
  const weights = tensors(architecture, parameters)
  let loss = 0
  let right = 0
  for (let start = 0; start < examples.count; start += SCORED_TOGETHER) {
    const rows = Int32Array.from({ length: Math.min(SCORED_TOGETHER, examples.count - start) }, (_, at) => start + at)
    tf.tidy(() => {
      const { labels, ...some } = take(examples, rows)
      const probabilities = softmax(forward(architecture, weights, { ...some, labels }).logits)
      labels.forEach((label, at) => {
        const row = probabilities.subarray(at * architecture.outputs, (at + 1) * architecture.outputs)
        right += Number(likeliest(row) === label)
        loss -= Math.log(Math.max(row[label], 1e-9))
      })
    })
  }
  tf.dispose(weights)
  return { loss: loss / examples.count, accuracy: right / examples.count, examples: examples.count }
}

/** The place of the largest. */
export function likeliest(probabilities: Float32Array): number {
  return probabilities.reduce((best, value, at) => (value > probabilities[best] ? at : best), 0)
}

/** How probable each output is after one input. */
export function predict(
  architecture: Architecture,
  parameters: Float32Array,
  inputs: Int32Array | Float32Array
): Float32Array {
  const weights = tensors(architecture, parameters)
  const example = { count: 1, inputs, labels: Int32Array.of(0) }
  const probabilities = tf.tidy(() => softmax(forward(architecture, weights, example).logits))
  tf.dispose(weights)
  return probabilities
}

type Weights = tf.Tensor2D[]

interface Forward {
  /** What entered the hidden layer, what left it, and what came out. */
  entered: tf.Tensor2D
  active: tf.Tensor2D
  logits: tf.Tensor2D
}

function forward({ vocabulary, inputs }: Architecture, weights: Weights, { count, inputs: rows }: Examples): Forward {
  const [first, firstBias, second, secondBias] = weights.slice(-4)
  const entered =
    vocabulary === undefined
      ? tf.tensor2d(rows as Float32Array, [count, inputs])
      : tf.reshape<tf.Rank.R2>(tf.gather(weights[0], tf.tensor1d(rows, 'int32')), [count, inputs])
  const active = tf.relu(tf.add<tf.Tensor2D>(tf.matMul(entered, first), firstBias))
  return { entered, active, logits: tf.add(tf.matMul(active, second), secondBias) }
}

/** One step down the gradient. Written out, because what Node loads of the core comes without gradient functions. */
function step(architecture: Architecture, weights: Weights, examples: Examples, rate: number): Weights {
  const { vocabulary, outputs } = architecture
  const { entered, active, logits } = forward(architecture, weights, examples)
  const [first, , second] = weights.slice(-4)
  const wrong = softmax(logits)
  examples.labels.forEach((label, at) => (wrong[at * outputs + label] -= 1))
  const ofLogits = tf.tensor2d(wrong, [examples.count, outputs])
  const ofHidden = tf.mul<tf.Tensor2D>(tf.matMul(ofLogits, second, false, true), tf.step(active))
  const gradients: tf.Tensor2D[] = [
    tf.matMul(entered, ofHidden, true),
    tf.sum(ofHidden, 0, true),
    tf.matMul(active, ofLogits, true),
    tf.sum(ofLogits, 0, true)
  ]
  if (vocabulary !== undefined)
    gradients.unshift(ofEmbedding(vocabulary, examples.inputs, tf.matMul(ofHidden, first, false, true)))
  return weights.map((weight, at) => tf.sub(weight, tf.mul(gradients[at], rate / examples.count)))
}

/** What flows back into the numbers of each word; most words are in no example of a batch. */
function ofEmbedding(
  { words, width }: NonNullable<Architecture['vocabulary']>,
  typed: Examples['inputs'],
  ofEntered: tf.Tensor2D
): tf.Tensor2D {
  const values = ofEntered.dataSync()
  const gradient = new Float32Array(words * width)
  typed.forEach((word, at) => {
    for (let i = 0; i < width; i++) gradient[word * width + i] += values[at * width + i]
  })
  return tf.tensor2d(gradient, [words, width])
}

/** Row by row. A plain loop, since here the library's passes over broadcast tensors take most of a step. */
function softmax(logits: tf.Tensor2D): Float32Array {
  const values = Float32Array.from(logits.dataSync())
  const [rows, columns] = logits.shape
  for (let row = 0; row < rows; row++) {
    const part = values.subarray(row * columns, (row + 1) * columns)
    let largest = -Infinity
    for (const value of part) if (value > largest) largest = value
    let sum = 0
    for (let i = 0; i < columns; i++) sum += part[i] = Math.exp(part[i] - largest)
    for (let i = 0; i < columns; i++) part[i] /= sum
  }
  return values
}

function tensors(architecture: Architecture, parameters: Float32Array): Weights {
  let at = 0
  return shapes(architecture).map(([rows, columns]) =>
    tf.tensor2d(parameters.slice(at, (at += rows * columns)), [rows, columns])
  )
}

function flat(weights: Weights, length: number): Float32Array {
  const parameters = new Float32Array(length)
  let at = 0
  for (const weight of weights) {
    parameters.set(weight.dataSync(), at)
    at += weight.size
  }
  return parameters
}

function take({ inputs, labels }: Examples, rows: Int32Array): Examples {
  const width = inputs.length / labels.length
  const taken =
    inputs instanceof Int32Array ? new Int32Array(rows.length * width) : new Float32Array(rows.length * width)
  rows.forEach((row, at) => taken.set(inputs.subarray(row * width, (row + 1) * width), at * width))
  return { count: rows.length, inputs: taken, labels: Int32Array.from(rows, (row) => labels[row]) }
}

function shuffle(order: Int32Array, uniform: () => number): void {
  for (let last = order.length - 1; last > 0; last--) {
    const other = Math.floor(uniform() * (last + 1))
    const kept = order[last]
    order[last] = order[other]
    order[other] = kept
  }
}
