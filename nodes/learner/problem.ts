import type { AlgorithmName } from './optimizers.ts'
import type { Architecture, Examples, Training } from './neural-network.ts'

/** What a network learns, on data that the project makes: the same on every machine. */
export interface Problem {
  name: string
  /** For how many members there is data. */
  members: number
  architecture: Architecture
  /** What a member does between two rounds. */
  training: Training
  /**
   * The server's learning rate. Above 1, since most of what a member learns here nobody else has seen, and a mean over all
   * members takes only a part of it over.
   */
  rates: Readonly<Record<AlgorithmName, number>>
  /** With privacy: the L2 norm that an update is clipped to, and the server's rate for FedAvg, whose steps carry the noise. */
  underNoise: { clip: number; rate: number }
  /** Of an element of an update, in fixed point. */
  clip: number
  /** The largest L2 norm of an update: longer ones are shortened to it, and a mean that is longer is not believed. */
  norm: number
  /** Not below anybody's number of examples. */
  largestWeight: number
  /** A member's own examples. */
  own(member: number): Examples
  /** Further ones of the same kind that nobody trains on. */
  heldOut(member: number): Examples
}

/** All examples in one, as if they lay in one place. */
export function pooled(parts: Examples[]): Examples {
  const labels = Int32Array.from(parts.flatMap((part) => [...part.labels]))
  const values = parts.flatMap((part) => [...part.inputs])
  const inputs = parts[0].inputs instanceof Int32Array ? Int32Array.from(values) : Float32Array.from(values)
  return { count: labels.length, inputs, labels }
}
