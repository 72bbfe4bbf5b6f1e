/** Skellam noise from the CSPRNG: the difference of two Poisson variables of the same mean. */

/** Uniform numbers in (0, 1), of 53 bits, from random bytes that are drawn by the thousand. */
export function uniforms(random: (length: number) => Uint8Array, batch = 4096): () => number {
  let words = new Uint32Array(0)
  let at = 0
  return () => {
    if (at >= words.length) {
      const bytes = random(8 * batch)
      words = new Uint32Array(new Uint8Array(bytes).buffer)
      bytes.fill(0)
      at = 0
    }
    const high = words[at] >>> 5
    const low = words[at + 1] >>> 6
    words[at] = words[at + 1] = 0
    at += 2
    return (high * 2 ** 26 + low + 0.5) * 2 ** -53
  }
}

/** Samples of a Skellam variable of mean 0 and this variance. `variance` must be positive. */
export function skellam(variance: number, uniform: () => number): () => number {
  const sample = poisson(variance / 2, uniform)
  return () => sample() - sample()
}

/** Beneath it counting is fast enough, and above it the transformed rejection holds. */
const COUNTED = 10

/** Samples of a Poisson variable, less a constant: of large means the samples themselves are beyond what float64 holds. */
function poisson(mean: number, uniform: () => number): () => number {
  return mean < COUNTED ? counted(mean, uniform) : rejected(mean, uniform)
}

/** Knuth's: arrivals until their time is up. */
function counted(mean: number, uniform: () => number): () => number {
  const end = Math.exp(-mean)
  return () => {
    let count = -1
    for (let product = 1; product > end; count++) product *= uniform()
    return count
  }
}

/** PTRS: Hörmann, "The transformed rejection method for generating Poisson random variables" (1993), for means of 10 on. */
function rejected(mean: number, uniform: () => number): () => number {
  const whole = Math.floor(mean)
  const fraction = mean - whole
  const b = 0.931 + 2.53 * Math.sqrt(mean)
  const a = -0.059 + 0.02483 * b
  const logInverseAlpha = Math.log(1.1239 + 1.1328 / (b - 3.4))
  const squeeze = 0.9277 - 3.6224 / (b - 2)
  return () => {
    for (;;) {
      const u = uniform() - 0.5
      const v = uniform()
      const us = 0.5 - Math.abs(u)
      const above = Math.floor(((2 * a) / us + b) * u + fraction + 0.43)
      if (us >= 0.07 && v <= squeeze) return above
      const k = whole + above
      if (k < 0 || (us < 0.013 && v > us)) continue
      const drawn = Math.log(v) + logInverseAlpha - Math.log(a / (us * us) + b)
      if (drawn <= logProbability(k, above - fraction, mean)) return above
    }
  }
}

/**
 * ln P[X = k] of a Poisson variable, `away` being k − mean: by the saddle point, without the differences of large numbers of
 * k·ln mean − mean − ln k! (Loader, "Fast and Accurate Computation of Binomial Probabilities", 2000).
 */
function logProbability(k: number, away: number, mean: number): number {
  if (k < logFactorials.length) return k * Math.log(mean) - mean - logFactorials[k]
  return -deviance(k, away, mean) - stirlingError(k) - 0.5 * Math.log(2 * Math.PI * k)
}

/** k·ln(k / mean) − away: near the mean by its series, in which nothing cancels. */
function deviance(k: number, away: number, mean: number): number {
  const ratio = away / (k + mean)
  if (Math.abs(ratio) > 0.1) return k * Math.log(k / mean) - away
  let sum = away * ratio
  let term = 2 * k * ratio
  for (let order = 3; ; order += 2) {
    term *= ratio * ratio
    const next = sum + term / order
    if (next === sum) return sum
    sum = next
  }
}

const logFactorials = Float64Array.from({ length: 16 }, (_, n) => {
  let sum = 0
  for (let i = 2; i <= n; i++) sum += Math.log(i)
  return sum
})

/** ln n! less Stirling's formula, by its series, which from 16 on is off by less than 1e−12. */
function stirlingError(n: number): number {
  const inverse = 1 / n
  const square = inverse * inverse
  return inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))
}
