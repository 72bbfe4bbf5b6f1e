// Telemetry that knows nobody: each app counts its own response times in buckets, and the developers learn the histogram of
// all. The members answer every round as it opens, and one of them asks for rounds.
import { startMembers } from './members.ts'

const buckets = [5, 10, 20, 50, 100, 200, 500, Infinity] // milliseconds, upper ends

const { task, members, stop } = await startMembers(6, {
  name: 'response-times',
  length: buckets.length,
  encoding: { type: 'integer', max: 10_000 },
  threat: { corrupt: 0.2, dropout: 0.2 } // one of them may be a spy, and another one may vanish
})

/** What one app saw since the last round; it stays on the device. */
function measure(app: number): number[] {
  const counts = buckets.map(() => 0)
  for (let request = 0; request < 100; request++) {
    const ms = 4 * (app + 1) * Math.exp(2 * Math.random())
    counts[buckets.findIndex((end) => ms <= end)]++
  }
  return counts
}

for (const [app, service] of members.entries()) service.onRound(task.id, () => ({ vector: measure(app) }))

const [reader] = members
for (let round = 1; round <= 2; round++) {
  const summed = new Promise<void>((resolve) => {
    reader.addEventListener('sum', ({ detail }) => void reader.sum(task.id, detail).then(print).then(resolve), {
      once: true
    })
  })
  await reader.want(task.id)
  await summed
}
await stop()

function print({ round, values, included }: Awaited<ReturnType<typeof reader.sum>>): void {
  const counts = Array.from(values, Number)
  const total = counts.reduce((sum, count) => sum + count, 0)
  console.log(`round ${round}: ${total} requests of ${included.length} apps`)
  for (const [index, count] of counts.entries())
    console.log(`${label(index).padStart(10)} ${'█'.repeat((60 * count) / total)} ${count}`)
}

function label(bucket: number): string {
  return bucket < buckets.length - 1 ? `≤ ${buckets[bucket]} ms` : 'slower'
}
