// A daemon in a process of its own that does what it is told over IPC; argv is its settings as JSON.
import { pino } from 'pino'
import { readTask } from '../../nodes/daemon/config.ts'
import { Daemon } from '../../nodes/daemon/daemon.ts'
import { reportedOutcome } from '../../nodes/daemon/reported-outcome.ts'
import { letLie } from '../nodes/liar.ts'
import type { Call, Settings, Word } from './daemon-processes.ts'

const say = (word: Word): void => void (process.connected && process.send!(word))

const { taskFile, lies = false, ...options } = JSON.parse(process.argv[2]) as Settings
const task = await readTask(taskFile)
if (lies) await letLie(task, options.dataDir)
const daemon = await Daemon.start({
  ...options,
  task,
  logger: pino({ level: 'silent' }),
  closed: (outcome) => say({ type: 'closed', outcome: reportedOutcome(outcome) })
})
process.on('message', ({ number, method, args }: Call) => {
  const call = daemon[method].bind(daemon) as (...args: unknown[]) => unknown
  void Promise.resolve(call(...args)).then((value) => say({ type: 'answer', number, value }))
})
process.on('disconnect', () => process.exit())
say({ type: 'ready', addresses: daemon.addresses })
