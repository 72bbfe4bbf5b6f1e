import { benchAudit } from './audit.ts'
import { benchHashing } from './hashing.ts'
import { benchMasks } from './masks.ts'
import { benchAggregator, benchContributor, benchShamir } from './member.ts'
import { benchAuditedRounds, benchRounds } from './round.ts'
import { benchUpload } from './upload.ts'
import { benchVotes } from './votes.ts'

/** The benchmarks by what they are about, each reporting a line or more, beside the machine's floor from the same run. */
export const benches: Record<string, Array<() => Promise<void>>> = {
  masks: [benchMasks],
  hashing: [benchHashing],
  votes: [benchVotes],
  member: [benchContributor, benchAggregator, benchShamir],
  upload: [benchUpload],
  audit: [benchAudit, benchAuditedRounds],
  round: [benchRounds]
}
