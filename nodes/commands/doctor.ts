import { SecureAggregationError, TaskError } from '../../src/errors.ts'
import type { Check } from '../doctor/check.ts'
import { UsageError } from '../usage-error.ts'
import { printJson } from './command.ts'
import type { Command, Typed } from './command.ts'
import { wholeNumber } from './usage.ts'

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
    members: { type: 'string', requiresArg: true, describe: 'with --task: as if it had so many members' }
  },
  async run(typed) {
    if ((typed.config === undefined) === (typed.task === undefined))
      throw new UsageError(
        'doctor needs --config for a node or --task for a task, one of them; see secagg doctor --help'
      )
    for (const [name, other] of [
      ['members', 'task'],
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

async function doctorTask({ task: file, members, json }: Typed): Promise<Check[]> {
  const { fail } = await import('../doctor/check.ts')
  const { readTask } = await import('../daemon/config.ts')
  const { YamlFile } = await import('../daemon/yaml-file.ts')
  const { reportTask, taskChecks, withMembers } = await import('../doctor/task-report.ts')
  const count = members === undefined ? undefined : wholeNumber('--members', members as string, 3, 1_000)
  try {
    const written = await YamlFile.read(file as string)
    const task = count === undefined ? await readTask(file as string) : await withMembers(written.value, count)
    const report = await reportTask(task)
    if (json === true) printJson(report)
    return taskChecks(report)
  } catch (error) {
    if (error instanceof TaskError) return [fail('task', error.message)]
    throw error
  }
}
