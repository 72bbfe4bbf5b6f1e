// Writes config/*.schema.json anew: node scripts/schemas.ts
import { writeFile } from 'node:fs/promises'
import { format } from 'prettier'
import { jsonSchemas } from '../nodes/daemon/json-schemas.ts'

for (const [name, schema] of Object.entries(jsonSchemas())) {
  const text = await format(JSON.stringify(schema), { parser: 'json', printWidth: 120 })
  await writeFile(new URL(`../config/${name}`, import.meta.url), text)
}
