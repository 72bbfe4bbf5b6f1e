import { SecureAggregationError, TaskError } from '../../src/errors.ts'
import type { Check } from '../doctor/check.ts'
import { UsageError } from '../usage-error.ts'
import { printJson } from './command.ts'
import type { Command, Typed } from './command.ts'
import { decimalNumber, wholeNumber } from './usage.ts'

export const doctorCommand: Command = {
  name: 'doctor',
  summary:
    'Checks what a daemon would stumble over at its start (--config), or what a task asks of its members (--task).',
  options: {
    config: { type: 'string', requiresArg: true, describe: 'a node’s file: is everything there for it to start?' },
    set: {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'with --config: field=value over the file; repeatable'
    },
    offline: { type: 'boolean', describe: 'with --config: do not dial bootstrap peers and relays' },
    task: {
      type: 'string',
      requiresArg: true,
      describe: 'a task’s file: thresholds, bits, bandwidth, time; what is infeasible'
    },
    members: { type: 'string', requiresArg: true, describe: 'with --task: as if it had so many members' },
    link: {
      type: 'string',
      requiresArg: true,
      describe: 'with --task: Mbit/s of a member’s link: how long a round takes'
    },
    delay: { type: 'string', requiresArg: true, describe: 'with --link: milliseconds from member to member (0)' }
  },
  examples: [
    ['doctor --config node.yaml', 'would this node start?'],
    ['doctor --task task.yaml', 'what does it ask of members?'],
    ['doctor --task task.yaml --members 16 --link 100', 'how long is a round of 16 at 100 Mbit/s?']
  ],
  async run(typed) {
    if ((typed.config === undefined) === (typed.task === undefined))
      throw new UsageError(
        'doctor needs --config for a node or --task for a task, one of them; see secagg doctor --help'
      )
    for (const [name, other] of [
      ['members', 'task'],
      ['link', 'task'],
      ['delay', 'link'],
      ['set', 'config'],
      ['offline', 'config']
    ])
      if (typed[name] !== undefined && typed[other] === undefined)
        throw new UsageError(`doctor takes --${name} with --${other} only`)
    const checks = typed.config === undefined ? await doctorTask(typed) : await doctorNode(typed)
    const { checkLines } = await import('../doctor/check.ts')
    const isFit = checks.every(({ status }) => status !== 'fail')
    if (typed.json !== true) process.stdout.write(checkLines(checks))
    else {
      for (const check of checks) printJson({ type: 'check', ...check })
      printJson({ type: 'summary', ok: isFit })
    }
    return isFit ? 0 : 1
  }
}

async function doctorNode({ config, set, offline }: Typed): Promise<Check[]> {
  const { fail, ok } = await import('../doctor/check.ts')
  const { fromEnvironment, fromFlags } = await import('../daemon/overrides.ts')
  const { readConfig } = await import('../daemon/config.ts')
  const { checkNode } = await import('../doctor/node-checks.ts')
  const flags = fromFlags((set as string[] | undefined) ?? [])
  try {
    const read = await readConfig(config as string, [...fromEnvironment(process.env), ...flags])
    return [ok('config', `${config as string} is well-formed`), ...(await checkNode(read, offline !== true))]
  } catch (error) {
    if (error instanceof SecureAggregationError) return [fail('config', error.message)]
    throw error
  }
}

async function doctorTask({ task: file, members, link: mbit, delay, json }: Typed): Promise<Check[]> {
  const { fail } = await import('../doctor/check.ts')
  const { readTask } = await import('../daemon/config.ts')
  const { YamlFile } = await import('../daemon/yaml-file.ts')
  const { reportTask, taskChecks, withMembers } = await import('../doctor/task-report.ts')
  const count = members === undefined ? undefined : wholeNumber('--members', members as string, 3, 1_000)
  const link =
    mbit === undefined
      ? undefined
      : {
          mbit: decimalNumber('--link', mbit as string, 0.001, 1_000_000),
          delayMs: decimalNumber('--delay', (delay as string | undefined) ?? '0', 0, 60_000)
        }
  try {
    const written = await YamlFile.read(file as string)
    const task = count === undefined ? await readTask(file as string) : await withMembers(written.value, count)
    const report = await reportTask(task, link)
    if (json === true) printJson(report)
    return taskChecks(report)
  } catch (error) {
    if (error instanceof TaskError) return [fail('task', error.message)]
    throw error
  }
}
