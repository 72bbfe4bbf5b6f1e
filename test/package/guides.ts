/** The TypeScript of a guide as programs that run: its blocks word for word, but for the peer ids and folders that they leave open. */

/** The blocks without what they import, and all that they import. */
function blocksOf(guide: string): { blocks: string[]; imports: string } {
  const quoted = [...guide.matchAll(/^```ts\n([^]*?)^```/gm)].map(([, text]) => text)
  const imports = new Set(quoted.flatMap((text) => text.match(/^import .*$/gm) ?? []))
  return { blocks: quoted.map((text) => text.replace(/^import .*\n/gm, '').trim()), imports: [...imports].join('\n') }
}

function having(blocks: string[], words: string): string {
  const found = blocks.find((text) => text.includes(words))
  if (found === undefined) throw new Error(`the guide has no block with ${words}`)
  return found
}

/** As many members as the block leaves open, with their keys. */
function withKeys(count: number): string {
  return `
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import type { Libp2p, PrivateKey } from '@libp2p/interface'
const keys = await Promise.all(Array.from({ length: ${count} }, () => generateKeyPair('Ed25519')))
const ids = keys.map((key) => peerIdFromPrivateKey(key).toString())
async function introduce(nodes: Pick<Libp2p, 'dial' | 'getMultiaddrs'>[]): Promise<void> {
  for (const node of nodes) for (const other of nodes) if (other !== node) await node.dial(other.getMultiaddrs())
}`
}

function withIds(block: string): { text: string; count: number } {
  let count = 0
  return { text: block.replaceAll("'12D3KooW…'", () => `ids[${count++}]`), count }
}

/** `src/README.md`: one member contributes, the others answer the round. Prints progress, and last the total weight. */
export function developersGuide(guide: string): string {
  const { blocks, imports } = blocksOf(guide)
  const task = withIds(having(blocks, 'const task = createTask'))
  const service = having(blocks, 'LevelJournal.open').replaceAll("'data/", "folder + '/")
  return `${imports}${withKeys(task.count)}
${task.text}
async function member(privateKey: PrivateKey, folder: string) {
${service}
return { node, journal }
}
type Node = Awaited<ReturnType<typeof member>>['node']
async function contributes(node: Node, update: Float32Array) {
${having(blocks, 'sum.mean')}
return sum
}
async function answers(node: Node, measure: (signal: AbortSignal) => Promise<Float32Array>) {
${having(blocks, 'onRound')}
}
export function threads(journal: LevelJournal, vectors: FileVectorStore) {
return ${having(blocks, 'ThreadPool()')}
}
export async function page() {
${having(blocks, 'IndexedDbJournal.open')}
return journal
}
export async function inMemory(privateKey: PrivateKey) {
${having(blocks, 'memory()')}
return node
}
const members = await Promise.all(keys.map((key, at) => member(key, 'guide/' + at)))
await introduce(members.map(({ node }) => node))
const [first, ...others] = members.map(({ node }) => node)
const summed = contributes(first, new Float32Array(task.length))
await Promise.all(others.map((node) => answers(node, async () => new Float32Array(task.length))))
const sum = await summed
console.log(sum.totalWeight)
for (const { node } of members) await node.stop()
for (const { journal } of members) await journal.close()
`
}

/** The block of the front page, for each of its members at once. Prints what the block prints. */
export function frontPage(page: string): string {
  const { blocks, imports } = blocksOf(page)
  const { text, count } = withIds(having(blocks, 'createTask'))
  const [before, after] = text.split('\n\nconst sum')
  const parts = before.split('\n\n')
  const node = parts.findIndex((part) => part.startsWith('const node'))
  return `${imports}${withKeys(count)}
${parts.slice(0, node).join('\n')}
async function member(privateKey: PrivateKey) {
${parts.slice(node).join('\n')}
return node
}
async function contribute(node: Awaited<ReturnType<typeof member>>) {
const sum${after}
}
const nodes = await Promise.all(keys.map(member))
await introduce(nodes)
await Promise.all(nodes.map(contribute))
for (const node of nodes) await node.stop()
`
}
