import { drawSchedule, runSchedule } from './test/simulation/schedule.ts'
const [seed, kind] = process.argv.slice(2)
const schedule = await drawSchedule(Number(seed), kind as any)
console.log(JSON.stringify(schedule))
const { simulation: s } = await runSchedule(schedule)
for (const p of s.peers) console.log(p.alive, p.outcomes.map(o => [o.round, o.status, o.reason, o.aggregator, o.views, o.included.join(), Math.round(o.durationMs)].join(' ')), p.viewsLeft)
