import { benchHashing } from './bench/hashing.ts'
import { benchMasks } from './bench/masks.ts'
import { benchAggregator, benchContributor, benchShamir } from './bench/member.ts'
import { benchRounds } from './bench/round.ts'
import { benchUpload } from './bench/upload.ts'
import { benchVotes } from './bench/votes.ts'

/**
 * `npm run bench -- --json`: one line a benchmark, the median of several runs after a warm-up, beside the machine's floor from
 * the same run. BENCHMARKS.md says what they mean. `--only masks,hashing,votes,member,upload,round` runs some.
 */

const benches: Record<string, Array<() => Promise<void>>> = {
  masks: [benchMasks],
  hashing: [benchHashing],
  votes: [benchVotes],
  member: [benchContributor, benchAggregator, benchShamir],
  upload: [benchUpload],
  round: [benchRounds]
}

const at = process.argv.indexOf('--only')
const wanted = at < 0 ? Object.keys(benches) : (process.argv[at + 1] ?? '').split(',')
const unknown = wanted.filter((name) => !(name in benches))
if (unknown.length > 0) {
  console.error(`bench: there is no "${unknown.join(', ')}"; there are ${Object.keys(benches).join(', ')}`)
  process.exit(2)
}
for (const name of wanted) for (const bench of benches[name]) await bench()
process.exit(0)
