import { MessageError } from '../../src/errors.ts'
import { printJson } from './command.ts'
import type { Command } from './command.ts'

export const evidenceCommand: Command = {
  name: 'evidence',
  argument: { name: 'file', describe: 'evidence, as the API of a node gives it' },
  summary: 'Verifies evidence that a member broke the protocol, without the network.',
  options: {
    task: {
      type: 'string',
      requiresArg: true,
      demandOption: true,
      describe: 'the task’s file, as its members have it: not from whoever brings the evidence'
    }
  },
  examples: [['evidence wrong-sum.cbor --task task.yaml', 'who lied, in which round, and how']],
  async run({ file, task: taskFile, json }) {
    const { readTask } = await import('../daemon/config.ts')
    const { readEvidenceFile } = await import('../record/evidence-file.ts')
    const { verifyEvidence } = await import('../../src/round/third-party.ts')
    const task = await readTask(taskFile as string)
    const proof = await readEvidenceFile(file as string)
    const of = { type: 'evidence', task: task.name, taskId: task.id }
    try {
      const verdict = verifyEvidence(task, proof)
      const { kind, culprit, epoch, round } = verdict
      if (json === true) printJson({ ...of, proven: true, ...verdict })
      else {
        const lines = [`proven: ${culprit} broke the protocol (${kind})`, `  in round ${round}, epoch ${epoch}`]
        process.stdout.write(`${lines.join('\n')}, of ${task.name} (task ${task.id})\n`)
      }
      return 0
    } catch (error) {
      if (!(error instanceof MessageError)) throw error
      const { code, message: reason } = error
      if (json === true) printJson({ ...of, proven: false, code, reason })
      process.stderr.write(`secagg: ${file as string} proves nothing: ${reason}\n`)
      return 1
    }
  }
}
