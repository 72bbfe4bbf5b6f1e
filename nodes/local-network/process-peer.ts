import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { InputError, SecureAggregationError } from '../../src/errors.ts'
import { toLauncherSchema } from '../daemon/launcher-messages.ts'
import type { Exported, Hold, ReportedStatus, ToLauncher, ToNode } from '../daemon/launcher-messages.ts'
import type { NodeConfigInput } from '../daemon/config.ts'
import { packageFile } from '../package-root.ts'
import type { Suspension } from './kills.ts'
import type { MortalPeer, PeerEvents, PeerSettings } from './peer.ts'

/** How long a process may take to end by itself once it was told to. */
const stopMs = 3_000
const tailBytes = 4_096

/** In MiB; by default V8 lets 16 fill up before it looks for what is gone, and hundreds of buffers with them. */
export const youngSpace = '--max-semi-space-size=4'

const running = new Set<ChildProcess>()
// However this process ends short of SIGKILL, no child outlives it; after SIGKILL the children miss their IPC channel.
process.prependListener('exit', () => running.forEach((child) => child.kill('SIGKILL')))

type Answer = { resolve: (message: ToLauncher) => void; reject: (error: Error) => void }

/** A member in a process of its own: `secagg node` under orders over an IPC channel. */
export class ProcessPeer implements MortalPeer {
  id = ''
  addresses: string[] = []
  readonly #settings: PeerSettings
  readonly #events: PeerEvents
  readonly #child: ChildProcess
  readonly #answers = new Map<string, Answer>()
  readonly #exited: Promise<unknown>
  #lastWords = ''
  #ending = false

  /** Starts the process; it loads while others do, and runs once it is given its bootstrap addresses. */
  constructor(settings: PeerSettings, events: PeerEvents) {
    this.#settings = settings
    this.#events = events
    const log = openSync(join(settings.folder, 'log.jsonl'), 'a')
    const [program, ...before] = [...(settings.within ?? []), process.execPath]
    this.#child = fork(packageFile('nodes/start.js'), [settings.command ?? 'node', '--config', this.#configFile], {
      stdio: ['ignore', log, 'pipe', 'ipc'],
      execPath: program,
      execArgv: [...before, youngSpace]
    })
    closeSync(log)
    running.add(this.#child)
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#lastWords = (this.#lastWords + text).slice(-tailBytes)
    })
    this.#child.on('message', (message) => this.#take(toLauncherSchema.parse(message)))
    // Sending to a process that has just died is an error event; its exit tells all there is to know.
    this.#child.on('error', () => {})
    this.#exited = once(this.#child, 'close').then(() => this.#gone())
  }

  /** Writes its file and lets it run; resolves when it listens. */
  async run(bootstrap: string[], holds: Hold[]): Promise<void> {
    const config: NodeConfigInput = {
      dataDir: '.',
      task: this.#settings.taskFile,
      listen: this.#settings.listen,
      bootstrap,
      local: true,
      api: { listen: 'off' }
    }
    await writeFile(this.#configFile, stringify(config))
    const ready = this.#expect('ready')
    this.hold(holds)
    const { id, addresses } = (await ready) as Extract<ToLauncher, { type: 'ready' }>
    this.id = id
    this.addresses = addresses
  }

  hold(holds: Hold[]): void {
    this.#send({ type: 'hold', holds })
  }

  go({ phase, round }: Hold): void {
    this.#send({ type: 'go', phase, round })
  }

  async kill(): Promise<void> {
    this.#ending = true
    this.#child.kill('SIGKILL')
    await this.#exited
  }

  suspend(how: Suspension): void {
    if (how === 'stopped') this.#child.kill('SIGSTOP')
    else this.#send({ type: 'isolate', isolated: true })
  }

  resume(): void {
    this.#child.kill('SIGCONT')
    this.#send({ type: 'isolate', isolated: false })
  }

  async input(round: number, file: string, weight?: number): Promise<void> {
    const answer = this.#expect(`staged:${round}`)
    this.#send({ type: 'input', round, file, weight })
    const reply = await answer
    if (reply.type === 'refused') throw new InputError('INPUT_FILE', reply.message)
  }

  async want(): Promise<void> {
    this.#send({ type: 'want' })
  }

  async status(): Promise<ReportedStatus> {
    const answer = this.#expect('status')
    this.#send({ type: 'status' })
    return ((await answer) as Extract<ToLauncher, { type: 'status' }>).status
  }

  async export(round: number, file: string): Promise<Exported> {
    const answer = this.#expect(`exported:${round}`)
    this.#send({ type: 'export', round, file })
    const { clippedFraction } = (await answer) as Extract<ToLauncher, { type: 'exported' }>
    return { clippedFraction }
  }

  glimpse(member: number, indices: number[]): void {
    this.#send({ type: 'glimpse', member, indices })
  }

  feed(): void {
    this.#send({ type: 'feed' })
  }

  async stop(): Promise<void> {
    this.#ending = true
    this.#child.kill('SIGCONT')
    this.#send({ type: 'stop' })
    const late = setTimeout(() => this.#child.kill('SIGKILL'), stopMs)
    await this.#exited
    clearTimeout(late)
  }

  get #configFile(): string {
    return join(this.#settings.folder, 'node.yaml')
  }

  #send(message: ToNode): void {
    if (this.#child.connected) this.#child.send(message)
  }

  #expect(key: string): Promise<ToLauncher> {
    if (!this.#child.connected) return Promise.reject(this.#ended())
    return new Promise((resolve, reject) => this.#answers.set(key, { resolve, reject }))
  }

  #answer(key: string, message: ToLauncher): void {
    this.#answers.get(key)?.resolve(message)
    this.#answers.delete(key)
  }

  #take(message: ToLauncher): void {
    if (this.#ending) return
    switch (message.type) {
      case 'phase':
        return this.#events.phase(message)
      case 'outcome':
        return this.#events.outcome(message.outcome)
      case 'glimpse':
        return this.#events.glimpse(message)
      case 'feed':
        return this.#events.happened(message.event)
      case 'failed':
        return this.#events.failed(`peer-${this.#settings.number} failed: ${message.message}`)
      case 'refused':
        return this.#answer(`staged:${message.round}`, message)
      case 'staged':
      case 'exported':
        return this.#answer(`${message.type}:${message.round}`, message)
      case 'ready':
      case 'status':
        return this.#answer(message.type, message)
    }
  }

  #gone(): void {
    running.delete(this.#child)
    for (const { reject } of this.#answers.values()) reject(this.#ended())
    this.#answers.clear()
    if (!this.#ending) this.#events.failed(this.#ended().message)
  }

  #ended(): SecureAggregationError {
    const { exitCode, signalCode } = this.#child
    const lines = this.#lastWords.trim().split('\n')
    // Above an error that nobody caught Node shows the line that threw it.
    const words = (lines.find((line) => /^\w*(Error|Exception)\b.*: /.test(line)) ?? lines[0]).replace(/^secagg: /, '')
    const why = words === '' ? '' : `: ${words}`
    return new SecureAggregationError(
      'PEER_ENDED',
      `the process of peer-${this.#settings.number} ended (${signalCode ?? `exit code ${exitCode}`})${why}`
    )
  }
}
