import { digits } from './digits/problem.ts'
import type { Problem } from './problem.ts'
import { words } from './words/problem.ts'

const problems = { words, digits }

export type ProblemName = keyof typeof problems
export const problemNames = Object.keys(problems) as ProblemName[]

export function problemNamed(name: ProblemName): Problem {
  return problems[name]
}
