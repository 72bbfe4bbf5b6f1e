import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { RoundReport, Summary } from '../../nodes/local-network/report.ts'

const start = fileURLToPath(new URL('../../nodes/start.js', import.meta.url))

export interface Ended {
  code: number | null
  stdout: string
  stderr: string
}

export interface NetworkEnded extends Ended {
  rounds: RoundReport[]
  summary?: Summary
}

/** Starts the command line as a user would. */
export function startSecagg(...args: string[]): { child: ChildProcess; ended: Promise<Ended> } {
  return startInto('pipe', ...args)
}

/** The same with another stdout: a file's descriptor. */
export function startInto(out: 'pipe' | number, ...args: string[]): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [start, ...args], { stdio: ['ignore', out, 'pipe'] })
  let stdout = ''
  let stderr = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, stdout, stderr }))
  return { child, ended }
}

export function secagg(...args: string[]): Promise<Ended> {
  return startSecagg(...args).ended
}

/** `secagg network --json`, with its lines read. */
export async function network(...args: string[]): Promise<NetworkEnded> {
  const ended = await secagg('network', '--json', ...args)
  const lines = ended.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as RoundReport | Summary)
  const rounds = lines.filter((line) => line.type === 'round')
  return { ...ended, rounds, summary: lines.find((line) => line.type === 'summary') }
}

/** Ids of the members' processes of this machine that were started with such an argument. */
export async function processesOf(argument: string): Promise<string[]> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const lines = await Promise.all(ids.map((id) => readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')))
  return ids.filter((_, at) => lines[at].includes('node.yaml') && lines[at].includes(argument))
}

/** A folder for the tests of one `describe`, gone afterwards. */
export function temporaryFolder(): () => string {
  let folder: string
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'secagg-test-'))
  })
  after(async () => {
    await rm(folder, { recursive: true, force: true })
  })
  return () => folder
}
