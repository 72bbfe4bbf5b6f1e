// Federated averaging: four members fit one line to points that they keep to themselves. Each round everybody takes a few
// steps of gradient descent from the common model, and what they learn is the mean of the steps, weighted by the number of
// points behind each, and nobody's own. The points come from y = 3x − 1.
import { startMembers } from './members.ts'

const points = [40, 10, 25, 80].map((count, member) =>
  Array.from({ length: count }, () => {
    const x = Math.random() + member / 2 - 1 // each member sees another part of the line
    return { x, y: 3 * x - 1 + (Math.random() - 0.5) / 5 }
  })
)

/** Fifteen steps from `[slope, offset]` on a member's own points: how far they lead. */
function train([slope, offset]: number[], own: { x: number; y: number }[]): number[] {
  let [a, b] = [slope, offset]
  for (let step = 0; step < 15; step++) {
    const errors = own.map(({ x, y }) => a * x + b - y)
    a -= (0.4 * errors.reduce((sum, error, i) => sum + error * own[i].x, 0)) / own.length
    b -= (0.4 * errors.reduce((sum, error) => sum + error, 0)) / own.length
  }
  return [a - slope, b - offset]
}

const { task, members, stop } = await startMembers(points.length, {
  name: 'line',
  length: 2,
  encoding: { type: 'fixed', clip: 4, bits: 20, weighted: 100 },
  threat: { corrupt: 0.25, dropout: 0 } // safe against any one of the four
})

let model = [0, 0]
for (let round = 1; round <= 8; round++) {
  const sums = await Promise.all(
    members.map((member, at) => member.contribute(task.id, train(model, points[at]), { weight: points[at].length }))
  )
  model = model.map((value, i) => value + sums[0].mean[i])
  console.log(
    `round ${round}: y = ${model[0].toFixed(3)}x ${model[1] < 0 ? '−' : '+'} ${Math.abs(model[1]).toFixed(3)}`
  )
}
await stop()
