import type { Adversary, Corrupt } from './adversary.ts'
import { AltersSum, BadChunks, PublishesTwoSums, WithholdsChunks } from './audits.ts'
import { ClosesWrongly } from './closings.ts'
import { InventsSurvivors, SplitsTheVote } from './cuts.ts'
import { TwoHeaders } from './headers.ts'
import { BadShares, DoubleVotes, SendsGarbage, Slanders, Withholds } from './members.ts'
import { DropsNeighbours, EquivocatingSets, SmallestSet } from './sets.ts'
import { AsksBothSides, ReplaysOldRound, WithholdsSum } from './sums.ts'
import { AnswersNothing, Floods, Lingers, StallsByteByByte } from './traffic.ts'

/** Behaviours by name, so that a schedule can say which member has which. */
export const behaviours = {
  // of aggregators
  AltersSum,
  PublishesTwoSums,
  AsksBothSides,
  ClosesWrongly,
  DropsNeighbours,
  EquivocatingSets,
  InventsSurvivors,
  Lingers,
  ReplaysOldRound,
  SmallestSet,
  SplitsTheVote,
  WithholdsSum,
  // of members
  AnswersNothing,
  BadChunks,
  BadShares,
  DoubleVotes,
  Floods,
  SendsGarbage,
  Slanders,
  StallsByteByByte,
  TwoHeaders,
  Withholds,
  WithholdsChunks
} as const satisfies Record<string, new (self: Corrupt) => Adversary>

export type Behaviour = keyof typeof behaviours
export type { Adversary, Corrupt, Plot, Tamper } from './adversary.ts'
