/**
 * What every member does with the mean update of a round: FedAvg (McMahan et al., AISTATS 2017), or with momentum or Adam
 * on top (Reddi et al., "Adaptive Federated Optimization", ICLR 2021). Everybody does it to the same sum, and only with
 * +, −, ×, ÷ and √, each of which IEEE 754 rounds in one way, so that all models stay the same to the last bit.
 */

export const algorithms = ['fedavg', 'fedavgm', 'fedadam'] as const
export type AlgorithmName = (typeof algorithms)[number]

export interface Algorithm {
  name: AlgorithmName
  /** The server's learning rate. */
  rate: number
}

/** What the next round starts from. */
export interface ModelState {
  parameters: Float32Array
  /** What momentum and Adam remember of earlier rounds, each as long as the parameters. */
  slots: Float32Array[]
}

const MOMENTUM = 0.9
const ADAM = { first: 0.9, second: 0.99, least: 1e-3 }

/** How many vectors an algorithm remembers. */
const slotsOf: Record<AlgorithmName, number> = { fedavg: 0, fedavgm: 1, fedadam: 2 }

export function initialState(name: AlgorithmName, parameters: Float32Array): ModelState {
  return { parameters, slots: Array.from({ length: slotsOf[name] }, () => new Float32Array(parameters.length)) }
}

/** The state after a round; the one before it stays as it is. Everything is kept in float32. */
export function applyMean({ name, rate }: Algorithm, state: ModelState, mean: Float64Array): ModelState {
  const parameters = state.parameters.slice()
  const slots = state.slots.map((slot) => slot.slice())
  const [first, second] = slots
  for (let i = 0; i < parameters.length; i++) {
    const update = Math.fround(mean[i])
    if (name === 'fedavg') parameters[i] += rate * update
    else if (name === 'fedavgm') {
      first[i] = MOMENTUM * first[i] + update
      parameters[i] += rate * first[i]
    } else {
      first[i] = ADAM.first * first[i] + (1 - ADAM.first) * update
      second[i] = ADAM.second * second[i] + (1 - ADAM.second) * update * update
      parameters[i] += (rate * first[i]) / (Math.sqrt(second[i]) + ADAM.least)
    }
  }
  return { parameters, slots }
}
