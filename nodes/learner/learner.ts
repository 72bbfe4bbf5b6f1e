import { setTimeout as sleep } from 'node:timers/promises'
import { bytesToHex } from '@noble/hashes/utils.js'
import type { Logger } from 'pino'
import { TaskError } from '../../src/errors.ts'
import type { RoundError } from '../../src/errors.ts'
import type { Input } from '../../src/network/contributions.ts'
import type { RoundOutcome } from '../../src/round/outcome.ts'
import { sumKey, sumName } from '../../src/round/round.ts'
import type { Task } from '../../src/task/task.ts'
import type { Application, ApplicationHost } from '../daemon/daemon-options.ts'
import { contributionFrom, readSums } from './contribution.ts'
import type { Contribution, OwnData, SummedMetrics } from './contribution.ts'
import { decodeHandover, encodeHandover, handoverLimit, verifyHandover } from './handover.ts'
import type { Handover, KnownRosters, VerifiedRound } from './handover.ts'
import { ModelExchange } from './model-exchange.ts'
import { applyMean } from './optimizers.ts'
import type { ModelState } from './optimizers.ts'
import { problemNamed } from './problems.ts'
import { modelHash, stateBytes, stateFromBytes, taskTerms } from './recipe.ts'
import type { Recipe } from './recipe.ts'
import { readModel, writeModel } from './saved-model.ts'
import type { Held } from './saved-model.ts'

export interface LearnerOptions {
  recipe: Recipe
  data: OwnData
  /** Where its model lies between two runs. */
  folder: string
  /** What its training is repeatable by. */
  seed: (string | number)[]
  logger: Logger
  /** Told of each new model. */
  learned?: (round: number, hash: string, metrics?: SummedMetrics) => void
  /** Told when a round that is over is taken in, whatever became of it. */
  taken?: (outcome: RoundOutcome) => void
}

const RETRY_MS = 300
const TRIES = 20

/**
 * A member that trains on its own data between rounds and contributes its update. The hash of its model is the round's
 * context hash, so that it is summed with nobody who holds another one; where it finds that the others have gone on
 * without it, it fetches their model and checks it against what they signed.
 */
export class Learner implements Application {
  readonly #options: LearnerOptions
  #held: Held
  #host?: ApplicationHost & { exchange: ModelExchange }
  /** Closed rounds are taken in one after the other. */
  #turn: Promise<void> = Promise.resolve()
  #settled = Promise.withResolvers<void>()
  #isSpent = false
  #prepared?: { state: ModelState; round: number; contribution: Promise<Contribution> }

  private constructor(options: LearnerOptions, held: Held) {
    this.#options = options
    this.#held = held
  }

  static async open(options: LearnerOptions): Promise<Learner> {
    return new Learner(options, await readModel(options.folder, options.recipe))
  }

  get model(): ModelState {
    return this.#held.state
  }

  /** The last round whose sum is in the model. */
  get round(): number {
    return this.#held.round
  }

  get hash(): string {
    return bytesToHex(this.#hash)
  }

  /** Whether its next update would go beyond the task's budget of privacy: it contributes no more, and learns from the others. */
  get isSpent(): boolean {
    return this.#isSpent
  }

  get #hash(): Uint8Array {
    return modelHash(this.#options.recipe, this.#held.state)
  }

  async started(host: ApplicationHost): Promise<void> {
    const { session, node } = host
    this.#checkTask(session.task)
    const exchange = new ModelExchange(node, session.task.id)
    this.#host = { ...host, exchange }
    const mayHave = (peer: string): boolean => session.participant.roster.indexOf(peer) >= 0
    await exchange.serve(mayHave, () => this.#held.handover)
    // It may have ended between the end of a round and the model that follows from it.
    this.caughtUp()
  }

  caughtUp(): void {
    this.#next(async () => {
      const { closedRound } = this.#host!.session.member
      if (closedRound > this.#held.settled) await this.#fetch(closedRound, 0)
    })
  }

  /** Known once the round before is taken in; where that takes too long, the others refuse what is said here. */
  async contextHash(round: number): Promise<Uint8Array> {
    await this.#readyFor(round)
    return this.#hash
  }

  async input({ round }: { round: number }): Promise<Input | undefined> {
    if (this.#isSpent) return undefined
    const { vector, weight } = await this.prepare(round)
    return { vector, weight, refused: (error) => this.#refused(error) }
  }

  /** Trains for a round, once. */
  async prepare(round: number): Promise<Contribution> {
    await this.#readyFor(round)
    const { state } = this.#held
    if (this.#prepared?.state !== state || this.#prepared.round !== round) {
      const { recipe, data, seed } = this.#options
      const { task } = this.#host!.session
      const contribution = contributionFrom(problemNamed(recipe.problem), { task, state, data, seed: [...seed, round] })
      this.#prepared = { state, round, contribution }
    }
    return this.#prepared.contribution
  }

  closed(outcome: RoundOutcome): void {
    this.#next(async () => {
      await this.#takeIn(outcome)
      this.#options.taken?.(outcome)
    })
  }

  #refused({ message, code }: RoundError): void {
    if (code !== 'PRIVACY_BUDGET' || this.#isSpent) return
    this.#isSpent = true
    this.#options.logger.warn({ reason: message }, 'the budget is spent')
  }

  async #readyFor(round: number): Promise<void> {
    if (this.#host === undefined || this.#held.settled >= round - 1) return
    this.caughtUp()
    const late = sleep(this.#host.session.task.deadlineMs / 2, 'late', { ref: false })
    while (this.#held.settled < round - 1) if ((await Promise.race([this.#settled.promise, late])) === 'late') return
  }

  #checkTask({ name, length, encoding }: Task): void {
    const { problem } = this.#options.recipe
    const fits = taskTerms(problemNamed(problem), encoding.type === 'skellam' ? encoding : undefined)
    if (length === fits.length && (encoding.type === 'skellam' || encoding.type === 'fixed')) return
    const wanted = `length ${fits.length}, and an encoding of type fixed or privacy`
    throw new TaskError('TASK_INVALID', `the task ${name} does not fit the problem ${problem}, which wants ${wanted}`)
  }

  #next(work: () => Promise<void>): void {
    this.#turn = this.#turn.then(work).catch((error: Error) => {
      this.#options.logger.warn({ reason: error.message }, 'the model could not be brought up to date')
    })
  }

  async #takeIn({ round, status, sum, decision }: RoundOutcome): Promise<void> {
    if (round <= this.#held.round) return
    // This member may have been away and know nothing better than that the round is over: the others' models tell.
    if (status !== 'summed') return this.#hold({ ...this.#held, settled: Math.max(round, this.#held.settled) })
    const { session, journal, vectors } = this.#host!
    const header = await journal.get(sumKey(session.task.id, round))
    if (sum === undefined || header === undefined) return this.#fetch(round, round)
    const name = sumName(session.task.id, round)
    const packed = await vectors.readRange(name, 0, (await vectors.size(name))!)
    try {
      const before = stateBytes(this.#held.state)
      const closedBefore = session.task.groups && (await session.participant.chronicle.closing(round - 1))?.encoded
      const drawn = closedBefore === undefined ? {} : { closedBefore }
      await this.#apply({ decision, header, before, sum: packed, ...drawn }, round)
    } catch (error) {
      this.#options.logger.info({ round, reason: (error as Error).message }, 'the others went on with another model')
      await this.#fetch(round, round)
    }
  }

  /** Asks the members for a model that includes the sum of round `least`, until one shows it. */
  async #fetch(settled: number, least: number): Promise<void> {
    const { session, node, exchange } = this.#host!
    const { recipe, logger } = this.#options
    const limit = handoverLimit(session.task, stateBytes(this.#held.state).length)
    for (let tries = 0; tries < TRIES && node.status !== 'stopped'; tries++) {
      let answered = 0
      for (const { id } of session.participant.roster.members) {
        if (id === node.peerId.toString()) continue
        try {
          const shown = await exchange.ask(id, limit)
          answered++
          if (shown !== undefined) await this.#apply(decodeHandover(shown), Math.max(least, this.#held.round + 1))
          if (least > 0 && this.#held.round >= least) return
        } catch (error) {
          logger.debug(
            { peer: id, problem: recipe.problem, reason: (error as Error).message },
            'no model from a member'
          )
        }
      }
      if (least === 0 && answered > 0)
        return this.#hold({ ...this.#held, settled: Math.max(settled, this.#held.settled) })
      await sleep(RETRY_MS, undefined, { ref: false })
    }
    throw new Error(`no member showed the model after round ${Math.max(least, settled)}`)
  }

  /** What a shown model's last round was, with the sum that leads to it. Throws MessageError where it is not proved. */
  readonly verify = async (handover: Handover): Promise<VerifiedRound & { before: ModelState }> => {
    const { recipe } = this.#options
    const before = stateFromBytes(recipe, handover.before)
    return { ...(await verifyHandover(handover, modelHash(recipe, before), this.#known)), before }
  }

  /** Takes the model after a round, if that is at least `least`. Throws MessageError where it is not proved. */
  async #apply(handover: Handover, least: number): Promise<void> {
    const { round, before, terms, sums } = await this.verify(handover)
    if (round < least) return
    const { update, metrics, passedBy } = readSums(problemNamed(this.#options.recipe.problem), terms, sums)
    if (passedBy)
      this.#options.logger.warn({ round }, 'the round is passed by: members that keep to the rules cannot give its sum')
    await this.#hold({
      round,
      settled: Math.max(round, this.#held.settled),
      state: applyMean(this.#options.recipe.algorithm, before, update),
      handover: encodeHandover(handover)
    })
    const spent = await this.#host!.session.privacySpent()
    const privacy = spent && { epsilon: spent.epsilon, delta: spent.delta }
    this.#options.logger.info({ round, model: this.hash, ...metrics, ...privacy }, 'learned')
    this.#options.learned?.(round, this.hash, metrics)
  }

  async #hold(held: Held): Promise<void> {
    await writeModel(this.#options.folder, held)
    this.#held = held
    this.#settled.resolve()
    this.#settled = Promise.withResolvers()
  }

  get #known(): KnownRosters {
    const { session } = this.#host!
    const { participant } = session
    return {
      task: session.task,
      terms: (epoch) => participant.terms(epoch),
      rosterOf: (epoch) => participant.chronicle.rosterOf(epoch)
    }
  }
}
