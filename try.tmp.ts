import { Simulation } from './test/simulation/network.ts'
const [n, ...kills] = process.argv.slice(2)
const s = await Simulation.create({ members: Number(n), seed: 1, kills: kills.map((k) => { const [who, phase] = k.split('@'); return { who: who === 'aggregator' ? 'aggregator' as const : Number(who), phase: phase as any, round: 1 } }) })
setTimeout(() => { console.log('STUCK', s.clock.now(), s.peers.map(p => [p.member.runningRound, p.refusals.map(e => e.message)])); process.exit(1) }, 20000).unref()
try {
for (let r = 1; r <= 2; r++) {
  await s.round(r)
  const alive = s.peers.findIndex(p => p.alive)
  const o = s.peers[alive].outcomes.at(-1)!
  let exact: unknown = '-'
  if (o.sum) { const d = await s.sum(alive, o); exact = [...d.values].join() === s.expected(o.included).join() }
  console.log(r, o.status, o.reason ?? '', 'leader', o.aggregator, 'views', o.views, 'attempts', o.attempts, 'in', o.included.join(), 'drop', o.dropped.join(), 'missing', o.missing.join(), Math.round(s.clock.now()), 'exact', exact)
}
} catch (e) { console.log((e as Error).message, s.clock.now(), s.peers.map(p => [p.alive, p.member.runningRound, p.viewsLeft])) }
console.log(s.peers.map((p, i) => i + ':' + p.refusals.map(e => e.message + (process.env.STACK ? e.stack : '')).join(' | ')).filter(x => x.length > 3).join('\n'))
