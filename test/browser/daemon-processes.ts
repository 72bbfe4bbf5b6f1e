import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { Daemon } from '../../nodes/daemon/daemon.ts'
import type { DaemonOptions } from '../../nodes/daemon/daemon-options.ts'
import type { reportedOutcome } from '../../nodes/daemon/reported-outcome.ts'

export type Outcome = ReturnType<typeof reportedOutcome>
export type Method = 'stage' | 'want' | 'status' | 'export'
export type Settings = Omit<DaemonOptions, 'task' | 'logger' | 'closed' | 'phase'> & {
  taskFile: string
  /** It alters every sum that it publishes (nodes/liar.ts). */
  lies?: boolean
}
export interface Call {
  number: number
  method: Method
  args: unknown[]
}
export type Word =
  | { type: 'ready'; addresses: string[] }
  | { type: 'closed'; outcome: Outcome }
  | { type: 'answer'; number: number; value: unknown }

/** A daemon in a process of its own, and what it told. */
export class DaemonProcess {
  readonly outcomes: Outcome[] = []
  addresses: string[] = []
  readonly #child: ChildProcess
  readonly #answers: ((value: unknown) => void)[] = []

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  static async start(settings: Settings): Promise<DaemonProcess> {
    const program = new URL('daemon-process.ts', import.meta.url)
    const daemon = new DaemonProcess(fork(program, [JSON.stringify(settings)], { serialization: 'advanced' }))
    await new Promise<void>((ready, failed) => {
      daemon.#child.on('message', (word: Word) => {
        if (word.type === 'ready') daemon.addresses = word.addresses
        if (word.type === 'ready') ready()
        else if (word.type === 'closed') daemon.outcomes.push(word.outcome)
        else daemon.#answers[word.number](word.value)
      })
      daemon.#child.once('exit', (code) => failed(new Error(`a daemon ended with ${code}`)))
    })
    return daemon
  }

  call<M extends Method>(method: M, ...args: Parameters<Daemon[M]>): Promise<Awaited<ReturnType<Daemon[M]>>> {
    return new Promise((resolve) => {
      const number = this.#answers.push(resolve as (value: unknown) => void) - 1
      this.#child.send({ number, method, args } satisfies Call)
    })
  }

  async stop(): Promise<void> {
    this.#child.disconnect()
    await once(this.#child, 'exit')
  }
}
