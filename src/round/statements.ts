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

/** Of a leader in one view: two attempts at most, and in each a plan, a key book, a masking set and a proposal, then a sum and its closing. */
const MOST_IN_VIEW = 16

/** Remembers leaders' statements: a second, different one in one view is equivocation, and there are few of them. */
export class Statements {
  readonly #first = new Map<string, Uint8Array>()
  readonly #counts = new Map<string, number>()

  /** Whether this is the first of its kind, and not one too many, or the same again. */
  admits(statement: Statement): boolean {
    const { type, from, body, encoded } = statement
    const ofView = `${from}/${body.view}`
    const key = [type, ofView, subjectOf(statement)].join('/')
    const before = this.#first.get(key)
    if (before !== undefined) return sameBytes(before, encoded)
    const count = this.#counts.get(ofView) ?? 0
    if (count >= MOST_IN_VIEW) return false
    this.#counts.set(ofView, count + 1)
    this.#first.set(key, encoded)
    return true
  }
}

function subjectOf({ body }: Statement): string {
  if ('agreement' in body) return body.agreement
  if ('attempt' in body) return String(body.attempt)
  return 'attemptId' in body ? bytesToHex(body.attemptId) : ''
}
