import { join } from 'node:path'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { laneBytes } from '../../src/crypto/mask-stream.ts'
import { ThreadPool } from '../../src/crypto/thread-pool.ts'
import { SecureAggregationError } from '../../src/errors.ts'
import { FileVectorStore } from '../../src/journal/file-vector-store.ts'
import { LevelJournal } from '../../src/journal/level-journal.ts'
import { rosterGater } from '../../src/network/admission.ts'
import { secureAggregation } from '../../src/network/service.ts'
import type { SecureAggregation } from '../../src/network/service.ts'
import type { Phase } from '../../src/round/ports.ts'
import { RoundArchive } from './archive.ts'
import type { DaemonOptions } from './daemon-options.ts'
import { readIdentity } from './identity.ts'
import { Isolation } from './isolation.ts'
import { createNode } from './libp2p.ts'
import type { SecaggNode } from './libp2p.ts'

/** What a member's folder holds, opened, and its libp2p node with the service of its task. */
export interface MemberNode {
  readonly node: SecaggNode<{ aggregation: SecureAggregation }>
  readonly journal: LevelJournal
  readonly vectors: FileVectorStore
  readonly archive: RoundArchive
  readonly isolation: Isolation
}

/** Told what goes on in rounds; `expects` says whether a peer has a reason to be connected, once that is known. */
export interface NodeHooks {
  expects(peer: string): boolean | undefined
  phase(phase: Phase, round: number, leading: boolean): void
  masked(elapsedMs: number): void
  received(round: number, member: number, name: string): void
}

/** Throws SecureAggregationError: no identity, no member, a folder in use, an address in use. */
export async function openMemberNode(options: DaemonOptions, hooks: NodeHooks): Promise<MemberNode> {
  const { dataDir, task } = options
  const privateKey = await readIdentity(dataDir)
  const id = peerIdFromPrivateKey(privateKey).toString()
  // Where there is a policy, the members decide who is let in.
  if (!task.members.includes(id) && task.admission === undefined) {
    throw new SecureAggregationError(
      'NOT_A_MEMBER',
      `${id}, the identity in ${dataDir}, is not among the members of the task ${task.name}; add it to the task or use another folder`
    )
  }
  const journal = await LevelJournal.open(join(dataDir, 'journal'))
  try {
    const vectors = await FileVectorStore.open(join(dataDir, 'vectors'))
    const archive = await RoundArchive.open(journal, vectors, task.id, options.retention)
    await archive.keepTask(task)
    const isolation = new Isolation()
    const node = await createNode({
      ...options,
      privateKey,
      logger: options.componentLogger,
      connectionGater: isolation.gater(admissionOf(options, hooks)),
      services: { aggregation: serviceOf(options, hooks, { journal, vectors }) }
    })
    return { node, journal, vectors, archive, isolation }
  } catch (error) {
    await journal.close()
    throw error
  }
}

function admissionOf({ task, bootstrap, relay }: DaemonOptions, hooks: NodeHooks) {
  const members = new Set(task.members)
  return rosterGater((peer) => hooks.expects(peer) ?? members.has(peer), {
    // Of an address through a relay the relay is let in as well.
    bootstrap: [...bootstrap, ...(relay?.use ?? [])]
      .flatMap((address) => address.split('/p2p/').slice(1))
      .map((rest) => rest.split('/')[0])
  })
}

function serviceOf(options: DaemonOptions, hooks: NodeHooks, stores: Pick<MemberNode, 'journal' | 'vectors'>) {
  const { task, application } = options
  const compute = new ThreadPool()
  // Before the first round, so that it does not wait for threads to load.
  compute.start(task.members.length * task.laneCount * laneBytes(task.bits))
  return secureAggregation({
    tasks: [task],
    ...stores,
    observer: () => observerOf(options, hooks),
    compute,
    contextHash: application && ((_, round) => application.contextHash(round))
  })
}

function observerOf({ logger, phase: held }: DaemonOptions, hooks: NodeHooks) {
  return {
    phase: (phase: Phase, round: number, leading: boolean) => {
      logger.debug({ phase, round, leading }, 'phase')
      hooks.phase(phase, round, leading)
      return held?.(phase, round, leading)
    },
    refused: (error: Error) => {
      const { code, culprit } = error as SecureAggregationError
      logger.warn({ reason: error.message, code, culprit }, 'refused')
    },
    view: (round: number, view: number, why: string) => logger.info({ round, view, why }, 'view changed'),
    masked: (_round: number, elapsedMs: number) => hooks.masked(elapsedMs),
    received: (round: number, member: number, name: string) => hooks.received(round, member, name)
  }
}
