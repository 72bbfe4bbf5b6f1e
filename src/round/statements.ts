import { bytesToHex } from '@noble/hashes/utils.js'
import { sameBytes } from './dealing.ts'
import type { AnyMessage, Message } from './messages.ts'

/** What a leader says once a view, and in it once an attempt or agreement: said again, it is the same to the last bit. */
type Statement = Message<'RoundPlan' | 'KeyBook' | 'MaskingSet' | 'Proposal' | 'SumHeader'>

export type StatementType = Statement['type']

const stated: ReadonlySet<string> = new Set<Statement['type']>([
  'RoundPlan',
  'KeyBook',
  'MaskingSet',
  'Proposal',
  'SumHeader'
])

export function isStatement(message: Message | AnyMessage): message is Statement {
  return stated.has(message.type)
}

/** Remembers leaders' statements: a second, different one in one view is equivocation. */
export class Statements {
  readonly #first = new Map<string, Uint8Array>()

  /** Whether this is the first of its kind, or the same again. */
  admits(statement: Statement): boolean {
    const { type, from, body, encoded } = statement
    const key = [type, from, body.view, subjectOf(statement)].join('/')
    const before = this.#first.get(key)
    if (before === undefined) this.#first.set(key, encoded)
    return before === undefined || sameBytes(before, encoded)
  }
}

function subjectOf({ body }: Statement): string {
  if ('agreement' in body) return body.agreement
  if ('attempt' in body) return String(body.attempt)
  return 'attemptId' in body ? bytesToHex(body.attemptId) : ''
}
