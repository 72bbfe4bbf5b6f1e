import { MessageError } from '../errors.ts'
import { sha256 } from '../crypto/primitives.ts'
import { sameBytes } from './dealing.ts'
import { largestEvidence } from './evidence.ts'
import type { Message } from './messages.ts'
import { readBytes } from './missed.ts'
import type { Clock, Frame } from './ports.ts'

/**
 * Evidence that is too large for a message is said to be there, and asked for (§6): the wrong sum of many long vectors. One
 * at a time, of whoever says that it has it, and of nobody again whose evidence proved nothing.
 */

/** What is waited for of one member's word: leaders that lied, one after the other. */
const MOST_WAITING = 8

export interface LargeEvidenceOptions {
  /** Members of the roster. */
  members: number
  /** Whether such evidence against a member is here already. */
  isHeld: (culprit: number) => boolean
  /** Asks whoever said that it has it. */
  ask: (notice: Message<'EvidenceNotice'>, signal: AbortSignal) => Promise<AsyncIterable<Frame>>
  /** What has come. @throws MessageError where it proves nothing */
  take: (evidence: Uint8Array, notice: Message<'EvidenceNotice'>) => Promise<void>
  refused: (error: Error) => void
  clock: Pick<Clock, 'sleep'>
  /** Milliseconds after which whoever was asked is given up. */
  patience: number
  peerOf: (member: number) => string
}

export class LargeEvidence {
  readonly #options: LargeEvidenceOptions
  readonly #waiting = new Map<string, Message<'EvidenceNotice'>>()
  readonly #liars = new Set<number>()
  #isAsking = false

  constructor(options: LargeEvidenceOptions) {
    this.#options = options
  }

  /** @throws MessageError where no evidence is like that, whoever says so being the culprit */
  check({ from, body }: Message<'EvidenceNotice'>): void {
    const { members, peerOf } = this.#options
    if (body.culprit < members && body.bytes <= largestEvidence(members)) return
    throw new MessageError('INVALID', `member ${from} speaks of evidence that there cannot be`, {
      culprit: peerOf(from)
    })
  }

  /** Somebody says that it has evidence. @throws MessageError as {@link check} */
  heard(notice: Message<'EvidenceNotice'>): void {
    this.check(notice)
    const { from, body } = notice
    if (this.#options.isHeld(body.culprit)) return
    const others = [...this.#waiting.values()].filter((other) => other.from === from)
    if (others.length >= MOST_WAITING) return
    this.#waiting.set(`${from}/${body.culprit}`, notice)
    if (!this.#isAsking) void this.#askForAll()
  }

  async #askForAll(): Promise<void> {
    this.#isAsking = true
    for (const [key, notice] of this.#waiting) {
      this.#waiting.delete(key)
      if (this.#liars.has(notice.from) || this.#options.isHeld(notice.body.culprit)) continue
      await this.#askFor(notice).catch((error: Error) => {
        if (error instanceof MessageError && error.culprit !== undefined) this.#liars.add(notice.from)
        this.#options.refused(error)
      })
    }
    this.#isAsking = false
  }

  async #askFor(notice: Message<'EvidenceNotice'>): Promise<void> {
    const { hash, bytes } = notice.body
    const { clock, patience, peerOf } = this.#options
    const culprit = peerOf(notice.from)
    const ended = new AbortController()
    void clock.sleep(patience, ended.signal).then(
      () => ended.abort(new Error(`member ${notice.from} took too long to bring evidence`)),
      () => {}
    )
    try {
      const frames = (await this.#options.ask(notice, ended.signal))[Symbol.asyncIterator]()
      const evidence = await readBytes(frames, bytes, culprit)
      if (!sameBytes(sha256(evidence), hash))
        throw new MessageError('INVALID', `${culprit} was asked for evidence and sent something else`, { culprit })
      await this.#options.take(evidence, notice)
    } finally {
      ended.abort(new Error('the evidence is here, or not to be had'))
    }
  }
}
