import { UsageError } from '../usage-error.ts'

/** A whole number from `least` to `largest` in decimal. Throws UsageError naming the option. */
export function wholeNumber(option: string, text: string, least: number, largest = Number.MAX_SAFE_INTEGER): number {
  const value = /^-?\d+$/.test(text) ? Number(text) : NaN
  if (value >= least && value <= largest && Number.isSafeInteger(value)) return value
  const bound = value > largest ? `of at most ${largest}` : `of at least ${least}`
  const range = largest === Number.MAX_SAFE_INTEGER ? bound : `from ${least} to ${largest}`
  throw new UsageError(`${option} must be a whole number ${range}, not "${text}"`)
}

/** A number from `least` to `largest`. Throws UsageError naming the option. */
export function decimalNumber(option: string, text: string, least: number, largest: number): number {
  const value = text.trim() === '' ? NaN : Number(text)
  if (value >= least && value <= largest) return value
  throw new UsageError(`${option} must be a number from ${least} to ${largest}, not "${text}"`)
}
