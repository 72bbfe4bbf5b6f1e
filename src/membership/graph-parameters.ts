/** Bits of privacy: a graph exposes an honest member with probability at most 2^−40 (§9). */
const SIGMA = 40

/** Bits of progress: with as many missing as allowed, a round has to be tried again with probability at most 2^−20. */
const ETA = 20

/** What the graphs of a round need to be safe among more than 128 members (§9). */
export interface GraphDegrees {
  /** kM: slots of a member in the mask graph, two in each of kM/2 Hamiltonian cycles. */
  readonly maskDegree: number
  /** m: slots of an included member whose other end must be included, too. */
  readonly minLiveSlots: number
  /** kS: holders of a member's shares. */
  readonly shareDegree: number
  /** t: shares that reconstruct a secret. */
  readonly threshold: number
  /** t2: holders that acknowledged a contributor's shares, for it to enter the masking set. */
  readonly acknowledgements: number
}

const known = new Map<string, GraphDegrees | undefined>()

/**
 * The least degrees for a roster of `members` of which f may be corrupt and D more missing (§9); undefined where members
 * would need masks or shares with all others. Cached.
 */
export function graphDegrees(members: number, f: number, D: number): GraphDegrees | undefined {
  const key = `${members}/${f}/${D}`
  if (known.has(key)) return known.get(key)
  const logs = logFactorials(members)
  const mask = maskGraph(members, f, D, logs)
  const share = mask && shareGraph(members, f, D, logs)
  const degrees = share && Object.freeze({ ...mask, ...share })
  known.set(key, degrees)
  return degrees
}

/** Natural logarithms of 0! … n!. */
function logFactorials(n: number): Float64Array {
  const logs = new Float64Array(n + 1)
  for (let k = 2; k <= n; k++) logs[k] = logs[k - 1] + Math.log(k)
  return logs
}

const logBinomial = (logs: Float64Array, n: number, k: number): number => logs[n] - logs[k] - logs[n - k]

/** Probability of k in a draw of `drawn` from `size` of which `marked` count. */
function hypergeometric(logs: Float64Array, size: number, marked: number, drawn: number): (k: number) => number {
  const all = logBinomial(logs, size, drawn)
  return (k) =>
    k > marked || drawn - k > size - marked
      ? 0
      : Math.exp(logBinomial(logs, marked, k) + logBinomial(logs, size - marked, drawn - k) - all)
}

/** The least x with P[X > x] ≤ bound, of an X from 0 to `largest`: tails are added from their far, small end. */
function leastAbove(probability: (k: number) => number, largest: number, bound: number): number {
  let tail = 0
  for (let x = largest; x > 0; x--) {
    tail += probability(x)
    if (tail > bound) return x
  }
  return 0
}

/** The largest x with P[X < x] ≤ bound. */
function largestBelow(probability: (k: number) => number, largest: number, bound: number): number {
  let tail = 0
  for (let x = 0; x < largest; x++) {
    tail += probability(x)
    if (tail > bound) return x
  }
  return largest
}

/** Among kS neighbours never t corrupt ones, and always t that are honest and there. */
function shareGraph(
  n: number,
  f: number,
  D: number,
  logs: Float64Array
): Pick<GraphDegrees, 'shareDegree' | 'threshold' | 'acknowledgements'> | undefined {
  const exposed = 2 ** -(SIGMA + 1) / (n - f)
  const stuck = 2 ** -ETA / n
  for (let shareDegree = 4; shareDegree < n; shareDegree += 2) {
    const corrupt = hypergeometric(logs, n - 1, f, shareDegree)
    const threshold = Math.max(2, 1 + leastAbove(corrupt, shareDegree, exposed))
    const live = hypergeometric(logs, n - 1, n - 1 - f - D, shareDegree)
    const acknowledgements = largestBelow(live, shareDegree, stuck)
    if (acknowledgements >= threshold) return { shareDegree, threshold, acknowledgements }
  }
  return undefined
}

/** However the dropouts are chosen, knowing the graph, the honest members stay in one piece, and nobody in it is alone. */
function maskGraph(
  n: number,
  f: number,
  D: number,
  logs: Float64Array
): Pick<GraphDegrees, 'maskDegree' | 'minLiveSlots'> | undefined {
  const present = (n - 1 - D) / (n - 1)
  for (let maskDegree = 4; maskDegree < n; maskDegree += 2) {
    const minLiveSlots = largestBelow(binomial(logs, maskDegree, present), maskDegree, 2 ** -ETA / n)
    if (4 * minLiveSlots <= maskDegree) continue
    if (staysWhole({ n, f, D, maskDegree, minLiveSlots }, logs)) return { maskDegree, minLiveSlots }
  }
  return undefined
}

function binomial(logs: Float64Array, trials: number, p: number): (k: number) => number {
  return (k) =>
    p === 1
      ? Number(k === trials)
      : Math.exp(logBinomial(logs, trials, k) + k * Math.log(p) + (trials - k) * Math.log1p(-p))
}

/**
 * Whether the union over all sets of s honest members, of the event that the rest of the honest can be cut off from it,
 * has a probability of at most 2^−(σ+1). For each s the better of two bounds: every member of the set loses no more slots
 * than the rule of live slots lets it (Chernoff); or some D_s members are all that the set is in touch with.
 */
function staysWhole(
  { n, f, D, maskDegree, minLiveSlots }: { n: number; f: number; D: number; maskDegree: number; minLiveSlots: number },
  logs: Float64Array
): boolean {
  const honest = n - f
  const bound = 2 ** -(SIGMA + 1)
  const lost = (maskDegree - minLiveSlots) / maskDegree
  let sum = 0
  for (let s = 1; s <= honest / 2; s++) {
    const sets = logBinomial(logs, honest, s)
    const slots = (s * maskDegree) / 2
    const outside = (honest - s) / (n - 1)
    const byRule = lost < outside ? sets - (s === 1 ? maskDegree : slots) * divergence(lost, outside) : Infinity
    const dropped = Math.min(D, honest - 2 * s)
    const left = honest - s - dropped
    const byChoice = sets + logBinomial(logs, honest - s, dropped) + slots * Math.log1p(-left / (n - 1))
    sum += Math.exp(Math.min(byRule, byChoice))
    if (sum > bound) return false
  }
  return true
}

/** Kullback–Leibler divergence of two coins, in nats. */
function divergence(p: number, q: number): number {
  const term = (a: number, b: number): number => (a === 0 ? 0 : a * Math.log(a / b))
  return term(p, q) + term(1 - p, 1 - q)
}
