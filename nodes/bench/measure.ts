/** Benchmarks as lines: one JSON object each, or for people. */

let json = false

export function reportAs(what: 'json' | 'text'): void {
  json = what === 'json'
}

export const medianOf = (times: number[]): number => times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)]

async function timed(work: () => unknown): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}

/** Milliseconds, after one run to warm up. */
export async function median(runs: number, work: () => unknown): Promise<number> {
  const [ms] = await medians(runs, [work])
  return ms
}

/** The same of several works in turn, so that what else the machine does disturbs them alike. */
export async function medians(runs: number, works: Array<() => unknown>): Promise<number[]> {
  const times = works.map((): number[] => [])
  for (let run = 0; run <= runs; run++)
    for (const [place, work] of works.entries()) {
      const ms = await timed(work)
      if (run > 0) times[place].push(ms)
    }
  return times.map(medianOf)
}

export function report(name: string, ms: number, more: Record<string, unknown> = {}): void {
  if (json) return console.log(JSON.stringify({ name, ms, unit: 'ms', ...more }))
  console.log(`${name.padEnd(20)} ${ms.toFixed(2).padStart(10)} ms  ${notes(more)}`)
}

export function reportRatio(name: string, ratio: number, more: Record<string, unknown> = {}): void {
  if (json) return console.log(JSON.stringify({ name, ratio, unit: 'ratio', ...more }))
  console.log(`${name.padEnd(20)} ${ratio.toFixed(4).padStart(10)}     ${notes(more)}`)
}

function notes(more: Record<string, unknown>): string {
  const text = (value: unknown): string =>
    typeof value === 'number' ? String(+value.toFixed(2)) : JSON.stringify(value)
  return Object.entries(more)
    .map(([key, value]) => `${key} ${text(value)}`)
    .join(', ')
}
