import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { plotBars, plotLines } from '../../nodes/learner/figures/plot.ts'
import { packageFile } from '../../nodes/package-root.ts'

const figures = (...names: string[]) =>
  promisify(execFile)(process.execPath, [packageFile('nodes/learner/figures/run.ts'), ...names])

describe('npm run figures', () => {
  it('says which figures there are, whoever asks for help', async () => {
    for (const option of ['--help', '-h']) {
      const { stdout, stderr } = await figures(option)
      assert.match(stdout, /^Usage: npm run figures [^]*accuracy-words[^]*robustness/)
      assert.equal(stderr, '')
    }
  })

  it('ends with 2 where there is no such figure', async () => {
    const refused = (error: unknown): boolean => {
      const { code, stderr } = error as { code: number; stderr: string }
      return code === 2 && /^there is no figure "robust"; name some of accuracy-words/.test(stderr)
    }
    await assert.rejects(figures('robust'), refused)
  })
})

describe('a plot', () => {
  const series = [
    { name: 'plain', color: '#e69f00' },
    { name: 'secure', color: '#0072b2', dash: [5, 4] }
  ]
  const heads = { title: 'digits', subtitle: 'of all members', x: 'rounds', y: 'right', percent: true, series }
  const texts = (svg: string): string[] => [...svg.matchAll(/<text [^>]*>([^<]*)</g)].map(([, text]) => text)

  it('of lines names all that is in it, and tells in its legend too which line is dashed', async () => {
    const points = [0, 1, 2].flatMap((x) => series.map(({ name }) => ({ x, y: x / 4, series: name })))
    const svg = await plotLines({ ...heads, points: [...points, { x: 2, y: 0.9, series: 'plain', label: 'z = 2' }] })
    const shown = texts(svg)
    for (const text of ['digits', 'of all members', 'rounds', 'right', 'plain', 'secure', 'z = 2', '0%'])
      assert.ok(shown.includes(text), `${text} is not in ${shown.join(' | ')}`)
    const symbols = svg.slice(svg.indexOf('role-legend-symbol')).match(/<path [^>]*stroke-width="2"[^>]*>/g)!
    assert.equal(symbols.length, series.length)
    // Lines, of which only the second has gaps; the dashes of a circle are a blob.
    for (const symbol of symbols) assert.match(symbol, / d="M[-\d.]+,0L[-\d.]+,0"/)
    assert.deepEqual(
      symbols.map((symbol) => symbol.includes('stroke-dasharray="5,4"')),
      [false, true]
    )
  })

  it('of bars has what stands behind a comma in a line of its own', async () => {
    const bars = series.map(({ name }) => ({ group: '3, up to the norm', series: name, y: 0.5 }))
    const shown = texts(await plotBars({ ...heads, x: 'who poisons', bars }))
    for (const text of ['who poisons', 'right', 'plain', 'secure']) assert.ok(shown.includes(text), text)
    assert.ok(!shown.some((text) => text.includes(',')))
  })
})
