import type { Exported, Happening, Hold, ReportedOutcome, ReportedStatus } from '../daemon/launcher-messages.ts'
import type { Phase } from '../../src/round/ports.ts'
import type { Suspension } from './kills.ts'

/** What a member tells whoever runs it. Members inside outcomes and glimpses are roster indices, as in the protocol. */
export interface PeerEvents {
  phase(reached: { phase: Phase; round: number; leading: boolean }): void
  outcome(outcome: ReportedOutcome): void
  glimpse(received: { round: number; member: number; values: number[] }): void
  /** Once `feed` was called. */
  happened(event: Happening): void
  /** It ended, or cannot go on, although nobody told it to. */
  failed(why: string): void
}

/** One member of a local network, in a process of its own or in this one. Every promise rejects where the member ends. */
export interface Peer {
  /** Its peer id and the addresses at which it can be dialled. */
  readonly id: string
  readonly addresses: string[]
  /** Takes a .npy file as its input of a round. Rejects with InputError. */
  input(round: number, file: string, weight?: number): Promise<void>
  want(): Promise<void>
  status(): Promise<ReportedStatus>
  /** Writes the sum of a round as .npy. */
  export(round: number, file: string): Promise<Exported>
  /** From now on it tells what it receives of one member, by roster index, whenever it is the aggregator. */
  glimpse(member: number, indices: number[]): void
  /** From now on it tells what happens in rounds. */
  feed(): void
  stop(): Promise<void>
}

/** A member that can be held at a phase, and killed or suspended there. */
export interface MortalPeer extends Peer {
  /** The phases at which it waits for `go`. */
  hold(holds: Hold[]): void
  go(hold: Hold): void
  /** SIGKILL. Resolves when the process is gone. */
  kill(): Promise<void>
  suspend(how: Suspension): void
  resume(): void
}

export interface PeerSettings {
  /** Its number, as in peer-N. */
  number: number
  /** Its folder, with its identity. */
  folder: string
  /** The file of the task. */
  taskFile: string
  /** The command of secagg that its process runs: node, if left out. */
  command?: string
  /** The program, with its arguments, that is to start its process, such as one that enters another network namespace. */
  within?: readonly string[]
  listen: string[]
  bootstrap: string[]
}
