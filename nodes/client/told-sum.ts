/** What is told of a sum beside its values. */
export interface ToldSum {
  round: number
  totalWeight: number
  /** How many vectors are in it. */
  included: number
  /** Where the task has privacy: what the node's vectors have reached in all rounds so far. */
  epsilon?: number
  delta?: number
}

/** From the headers that a node sends with a sum. */
export function toldInHeaders(headers: Headers): ToldSum {
  const number = (name: string): number => Number(headers.get(`x-secagg-${name}`))
  return {
    round: number('round'),
    totalWeight: number('total-weight'),
    included: number('included'),
    ...(headers.has('x-secagg-epsilon') && { epsilon: number('epsilon'), delta: number('delta') })
  }
}

/** The end of a sentence on a sum; nothing without privacy. */
export function privacyText({ epsilon, delta }: Pick<ToldSum, 'epsilon' | 'delta'>): string {
  return epsilon === undefined ? '' : `; ε reached so far: ${epsilon.toPrecision(3)} at δ = ${delta}`
}
