import { z } from 'zod'
import { taskSchema } from '../../src/task/schema.ts'
import { configSchema } from './config-schema.ts'

/** JSON schemas of the files that people write, for their editors, by the names they have in config/. */
export function jsonSchemas(): Record<string, object> {
  const options = { io: 'input', target: 'draft-7' } as const
  return {
    'node.schema.json': { title: 'A node’s file of secagg', ...z.toJSONSchema(configSchema, options) },
    'task.schema.json': { title: 'A task of secagg', ...z.toJSONSchema(taskSchema, options) }
  }
}
