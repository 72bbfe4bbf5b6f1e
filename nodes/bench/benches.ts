import { benchMasks } from './masks.ts'
import { benchAggregator, benchContributor, benchShamir } from './member.ts'
import { benchRounds } from './round.ts'
import { benchUpload } from './upload.ts'

/** The benchmarks by what they are about, each reporting a line or more, beside the machine's floor from the same run. */
export const benches: Record<string, Array<() => Promise<void>>> = {
  masks: [benchMasks],
  member: [benchContributor, benchAggregator, benchShamir],
  upload: [benchUpload],
  round: [benchRounds]
}
