import { hexToBytes } from '@noble/hashes/utils.js'
import { MessageError, SecureAggregationError } from '../../src/errors.ts'
import type { Journal, JournalOperation } from '../../src/journal/journal.ts'
import type { VectorStore } from '../../src/journal/vector-store.ts'
import { systemClock } from '../../src/network/clock.ts'
import type { Sum } from '../../src/network/contributions.ts'
import { decodeSum, privacyOf } from '../../src/network/sums.ts'
import { PrivacyLedger, privateTerms } from '../../src/round/privacy-ledger.ts'
import { Chronicle } from '../../src/round/chronicle.ts'
import { closingIn, heldRound, transcriptKey } from '../../src/round/record.ts'
import type { HeldRound } from '../../src/round/record.ts'
import { recheckSum } from '../../src/round/recheck.ts'
import { sumKey, sumName } from '../../src/round/round.ts'
import { taskInputOf } from '../../src/task/task-input.ts'
import { createTask } from '../../src/task/task.ts'
import type { Task, TaskInput } from '../../src/task/task.ts'
import { roundRecordSchema } from './round-record.ts'
import type { RoundRecord, ToldRound } from './round-record.ts'

/** How much of the past a node keeps. */
export interface Retention {
  /** Sums and transcripts of the last rounds; at least 1. */
  keepSums: number
  /** Records of the last rounds, and of those whose sums are kept. */
  keepRounds: number
}

export const defaultRetention: Retention = { keepSums: 100, keepRounds: 1000 }

export type ArchivedSum = Omit<Sum, 'audit' | 'decision'> & Partial<Pick<Sum, 'audit'>> & { record: ToldRound }

/** What of a task is needed to read a sum, without the daemon and its task file: as the roster of an epoch ran it. */
type Terms = Pick<
  Task,
  'id' | 'name' | 'members' | 'length' | 'encoding' | 'bits' | 'laneCount' | 'thresholds' | 'groups'
>

const tasksPrefix = 'daemon/'
const padded = (number: number): string => String(number).padStart(15, '0')
const roundsPrefix = (taskId: string): string => `${tasksPrefix}${taskId}/round/`
const recordKey = (taskId: string, round: number): string => roundsPrefix(taskId) + padded(round)
const taskKey = (taskId: string): string => `${tasksPrefix}${taskId}/task`
const termsKey = (taskId: string, epoch: number): string => `${tasksPrefix}${taskId}/terms/${padded(epoch)}`
const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value))
const parse = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes))

/** Ids of the tasks that a journal has rounds of. */
export async function archivedTasks(journal: Journal): Promise<string[]> {
  const ids = new Set<string>()
  for await (const [key] of journal.entries(tasksPrefix)) ids.add(key.split('/')[1])
  return [...ids]
}

/** The name of such a task; undefined where only its rounds are kept. */
export async function archivedName(journal: Journal, taskId: string): Promise<string | undefined> {
  const written = await journal.get(taskKey(taskId))
  return written && (parse(written) as TaskInput).name
}

/** The closed rounds of one task and their sums, for as long as they are kept: in the journal and the vector store. */
export class RoundArchive {
  readonly #journal: Journal
  readonly #vectors: VectorStore
  readonly #taskId: string
  readonly #retention: Retention
  /** Numbers of the rounds that there are records and sums of, rising. */
  #rounds: number[] = []
  #sums: number[] = []
  readonly #epochs = new Set<number>()

  private constructor(journal: Journal, vectors: VectorStore, taskId: string, retention: Retention) {
    this.#journal = journal
    this.#vectors = vectors
    this.#taskId = taskId
    this.#retention = retention
  }

  static async open(
    journal: Journal,
    vectors: VectorStore,
    taskId: string,
    retention: Retention = defaultRetention
  ): Promise<RoundArchive> {
    const archive = new RoundArchive(journal, vectors, taskId, retention)
    archive.#rounds = await numbersUnder(journal, roundsPrefix(taskId))
    archive.#sums = await numbersUnder(journal, sumKey(taskId, 0).slice(0, -padded(0).length))
    return archive
  }

  /** Keeps what a folder is of, so that its rounds can be checked without the task's file. */
  async keepTask(task: Task): Promise<void> {
    await this.#journal.put(taskKey(task.id), json(taskInputOf(task)))
  }

  /** Keeps the record of a round that was closed, and forgets what is too old. `terms`: the task of the round's epoch. */
  async add(record: RoundRecord, terms: Task, hasSum: boolean): Promise<void> {
    const { round, epoch } = record
    const operations: JournalOperation[] = [{ type: 'put', key: recordKey(this.#taskId, round), value: json(record) }]
    if (!this.#epochs.has(epoch)) {
      const { id, name, members, length, encoding, bits, laneCount, thresholds, groups } = terms
      const needed: Terms = { id, name, members, length, encoding, bits, laneCount, thresholds, groups }
      operations.push({ type: 'put', key: termsKey(this.#taskId, epoch), value: json(needed) })
      this.#epochs.add(epoch)
    }
    // Whoever reads meanwhile is told of what is there: the old goes before it is deleted, the new comes when it is written.
    const { keepRounds, keepSums } = this.#retention
    const sums = hasSum ? entered(this.#sums, round) : this.#sums
    const oldSums = sums.slice(0, Math.max(0, sums.length - keepSums))
    const keptSums = sums.filter((one) => !oldSums.includes(one))
    // However many burned rounds followed: a sum is read with its record.
    const old = entered(this.#rounds, round)
      .slice(0, -keepRounds)
      .filter((one) => !keptSums.includes(one))
    this.#sums = this.#sums.filter((one) => !oldSums.includes(one))
    this.#rounds = this.#rounds.filter((one) => !old.includes(one))
    for (const one of old) operations.push({ type: 'del', key: recordKey(this.#taskId, one) })
    for (const one of oldSums)
      for (const key of [sumKey(this.#taskId, one), transcriptKey(this.#taskId, one)])
        operations.push({ type: 'del', key })
    await this.#journal.batch(operations)
    if (!old.includes(round)) this.#rounds = entered(this.#rounds, round)
    if (keptSums.includes(round)) this.#sums = entered(this.#sums, round)
    for (const old of oldSums) await this.#vectors.remove(sumName(this.#taskId, old))
  }

  /** The last `limit` rounds below `before`, newest first. */
  async list(limit: number, before = Infinity): Promise<ToldRound[]> {
    const wanted = this.#rounds.filter((round) => round < before).slice(-limit)
    return Promise.all(wanted.reverse().map((round) => this.record(round)))
  }

  /** Throws SecureAggregationError ROUND_UNKNOWN. */
  async record(round: number): Promise<ToldRound> {
    const bytes = await this.#journal.get(recordKey(this.#taskId, round))
    if (bytes === undefined) {
      const sentence = `this node has no record of round ${round}: it is not over, was missed, or is too long ago`
      throw new SecureAggregationError('ROUND_UNKNOWN', sentence)
    }
    return { ...roundRecordSchema.parse(parse(bytes)), hasSum: this.#sums.includes(round) }
  }

  /** Throws SecureAggregationError ROUND_UNKNOWN, SUM_MISSING. */
  async sum(round: number): Promise<ArchivedSum> {
    const record = await this.record(round)
    const written = await this.#journal.get(termsKey(this.#taskId, record.epoch))
    if (!record.hasSum || written === undefined) throw noSum(record)
    const terms = parse(written) as Terms
    const task = { ...terms, idBytes: hexToBytes(terms.id) } as Task
    const sum = await decodeSum(record, sumName(this.#taskId, round), task, this.#vectors)
    const privacy = await this.#privacy(record, task)
    const { audit } = record
    return Object.defineProperties(
      { record, ...(audit && { audit }), ...privacy } as ArchivedSum,
      Object.getOwnPropertyDescriptors(sum)
    )
  }

  /**
   * The sum of a round, once it was checked that it is the one under the root that the decision of the round names.
   *
   * @throws SecureAggregationError ROUND_UNKNOWN, SUM_MISSING, SUM_ALTERED
   */
  async checkedSum(round: number): Promise<ArchivedSum> {
    const record = await this.record(round)
    const size = record.hasSum ? await this.#vectors.size(sumName(this.#taskId, round)) : undefined
    if (size === undefined) throw noSum(record)
    try {
      await this.#checkSum(round, size)
    } catch (cause) {
      if (!(cause instanceof MessageError)) throw cause
      throw new SecureAggregationError('SUM_ALTERED', `round ${round} does not hold: ${cause.message}`, { cause })
    }
    return this.sum(round)
  }

  async #checkSum(round: number, size: number): Promise<void> {
    const task = await this.#task()
    const chronicle = task && (await this.#chronicle(task))
    const closing = (await chronicle?.closing(round))?.encoded ?? (await closingIn(this.#journal, this.#taskId, round))
    const header = await this.#journal.get(sumKey(this.#taskId, round))
    if (task === undefined || chronicle === undefined || closing === undefined || header === undefined)
      throw new MessageError('INVALID', 'what its sum is checked by is no longer kept')
    const name = sumName(this.#taskId, round)
    const read = (offset: number, length: number) => this.#vectors.readRange(name, offset, length)
    const roster = chronicle.rosterIn(round)
    await recheckSum({ task, roster, closing, header, sum: { size, read } }, systemClock)
  }

  /**
   * What is held of a round, to be checked or handed on. `id`: the peer id of the node.
   *
   * @throws SecureAggregationError ROUND_UNKNOWN, TRANSCRIPT_MISSING
   */
  async held(round: number, id: string): Promise<HeldRound> {
    const task = await this.#task()
    if (task !== undefined) {
      const chronicle = await this.#chronicle(task)
      const kept = { task, chronicle, journal: this.#journal, vectors: this.#vectors, id }
      const held = await heldRound(kept, round)
      if (held !== undefined) return held
    }
    throw noTranscript(await this.record(round))
  }

  /** As it began, where it is kept. */
  async #task(): Promise<Task | undefined> {
    const written = await this.#journal.get(taskKey(this.#taskId))
    return written && createTask(parse(written))
  }

  /** Read anew: the chronicle of the member that runs has rounds that came since. */
  async #chronicle(task: Task): Promise<Chronicle> {
    const chronicle = new Chronicle(task, this.#journal)
    await chronicle.load()
    return chronicle
  }

  /** Read anew: the ledger of the member that runs has rounds that came since. */
  async #privacy(record: RoundRecord, task: Task): Promise<Pick<Sum, 'privacy'>> {
    const privately = privateTerms(task)
    return privately === undefined ? {} : privacyOf(task, record, new PrivacyLedger(privately, this.#journal))
  }
}

function noTranscript({ round, status, reason }: ToldRound): SecureAggregationError {
  const why =
    status === 'burned'
      ? `it was burned (${reason ?? 'no reason given'}) and has no sum`
      : 'it is no longer kept, or this node was away and could not fetch it'
  return new SecureAggregationError('TRANSCRIPT_MISSING', `there is no transcript of round ${round} here: ${why}`)
}

function noSum({ round, status, reason }: ToldRound): SecureAggregationError {
  const why = status === 'burned' ? `it was burned (${reason ?? 'no reason given'})` : 'it is no longer kept'
  return new SecureAggregationError('SUM_MISSING', `there is no sum of round ${round} here: ${why}`)
}

/** Keeps the numbers rising, each once: of a round that was missed the node may hear late, or again. */
function entered(rounds: number[], round: number): number[] {
  return rounds.includes(round) ? rounds : [...rounds, round].sort((a, b) => a - b)
}

async function numbersUnder(journal: Journal, prefix: string): Promise<number[]> {
  const numbers: number[] = []
  for await (const [key] of journal.entries(prefix)) numbers.push(Number(key.slice(prefix.length)))
  return numbers
}
