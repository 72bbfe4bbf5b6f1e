import type { AuditReport } from '../record/report.ts'
import { NodeClient, nodeOptions } from '../client/node-client.ts'
import { UsageError } from '../usage-error.ts'
import { printJson } from './command.ts'
import type { Command, Typed } from './command.ts'
import { wholeNumber } from './usage.ts'

export const auditCommand: Command = {
  name: 'audit',
  argument: { name: 'round', describe: 'its number', optional: true },
  summary: 'Checks from scratch all that is held of a round, or of an exported one.',
  options: {
    file: { type: 'string', requiresArg: true, describe: 'what secagg export wrote, instead of a round of a node' },
    'task-id': { type: 'string', requiresArg: true, describe: 'with --file: refuse a round of any other task' },
    data: { type: 'string', requiresArg: true, describe: 'the dataDir of a stopped node, instead of --node' },
    ...nodeOptions
  },
  examples: [
    ['audit 7 --data data/me', 'round 7, as a stopped node holds it'],
    ['audit --file round-7.tar', 'an export, on any machine']
  ],
  async run({ round, file, data, json, ...typed }) {
    if ([file, data, typed.node].filter((where) => where !== undefined).length > 1)
      throw new UsageError('give one of --file, --data and --node')
    if ((round === undefined) === (file === undefined)) throw new UsageError('give a round, or a file with --file')
    if (file === undefined && typed['task-id'] !== undefined) throw new UsageError('--task-id goes with --file')
    if (file !== undefined && typed.task !== undefined) throw new UsageError('with --file give --task-id, not --task')
    const number = (): number => wholeNumber('the round', String(round), 1)
    const report =
      file !== undefined
        ? await exported(file as string, typed['task-id'] as string | undefined)
        : data !== undefined
          ? await stored(number(), data as string, typed.task as string | undefined)
          : await fetched(number(), typed)
    if (json === true) printJson({ type: 'audit', ...report })
    else if (report.passed) for (const line of linesOf(report)) process.stdout.write(`${line}\n`)
    if (!report.passed) process.stderr.write(`secagg: ${failureOf(report)}\n`)
    return report.passed ? 0 : 1
  }
}

async function exported(file: string, taskId: string | undefined): Promise<AuditReport> {
  const { openExport } = await import('../record/export.ts')
  const { reportOf } = await import('../record/report.ts')
  const { held, close } = await openExport(file)
  try {
    if (taskId !== undefined && taskId !== held.task.id)
      throw new UsageError(`${file} is of the task ${held.task.name} (${held.task.id}), not ${taskId}`)
    return await reportOf(held)
  } finally {
    await close()
  }
}

async function stored(round: number, dataDir: string, task: string | undefined): Promise<AuditReport> {
  const { withStoppedNode } = await import('../client/stopped-node.ts')
  const { reportOf } = await import('../record/report.ts')
  return withStoppedNode(dataDir, task, async (archive, id) => reportOf(await archive.held(round, id)))
}

async function fetched(round: number, typed: Typed): Promise<AuditReport> {
  const client = await NodeClient.of(typed)
  const path = await client.taskPath(typed.task as string | undefined)
  return (await (await client.fetch(`${path}/rounds/${round}/audit`)).json()) as AuditReport
}

function* linesOf(report: AuditReport & { passed: true }): Generator<string> {
  const { round, task, taskId, epoch, aggregator, included, dropped, closed, sum, masked, slices, chunks } = report
  const lost = dropped.length === 0 ? '' : `, ${dropped.length} dropped`
  yield `round ${round} of ${task} (task ${taskId}), epoch ${epoch}: ${closed ? 'summed' : 'still running'}`
  yield `  sum of ${included.length} members${lost}, published by ${aggregator}`
  yield '  holds: the chain of rosters, every signature and decision, the headers, what was opened'
  yield sum ? '  holds: the sum, under the root that a quorum agreed on' : '  not held: the sum'
  if (chunks.checked === chunks.of)
    yield `  holds: every chunk of the sum (${chunks.of}), recomputed from the masked vectors`
  else if (masked.length + slices > 0) {
    const parts = slices === 0 ? '' : `, and ${slices} slices of others`
    yield `  recomputed: ${chunks.checked} of ${chunks.of} chunks; of ${masked.length} members masked vectors are held${parts}`
  } else yield '  not recomputed: the masked vectors are no longer held; members delete them when a round is closed'
}

function failureOf({ round, reason, culprit }: AuditReport & { passed: false }): string {
  return `round ${round} does not hold: ${reason}${culprit === undefined ? '' : ` (culprit: ${culprit})`}`
}
