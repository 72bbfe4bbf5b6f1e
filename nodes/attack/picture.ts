// A grammar of graphics draws better than code of our own would; for development only, like this whole program.
import { parse, View } from 'vega'
import { compile } from 'vega-lite'
import type { TopLevelSpec } from 'vega-lite'
import type { Reading } from './reading.ts'
import { RARE_WORD } from './update.ts'

/** The label stands above the highest bar. */
const HEADROOM = 1.25

export interface Panel {
  title: string
  subtitle: string
  reading: Reading
}

/** A panel for each reading, one below the other: how far the row of each word was moved. SVG. */
export async function picture(panels: Panel[]): Promise<string> {
  const spec: TopLevelSpec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'white',
    padding: 16,
    vconcat: panels.map((panel, at) => panelSpec(panel, at === panels.length - 1)) as never,
    config: { view: { stroke: null }, axis: { grid: false }, title: { anchor: 'start', frame: 'group', offset: 10 } },
    spacing: 24
  }
  return new View(parse(compile(spec).spec), { renderer: 'none' }).toSVG()
}

function panelSpec({ title, subtitle, reading }: Panel, isLast: boolean): object {
  const named = `datum.word == '${RARE_WORD}'`
  return {
    title: { text: title, subtitle, subtitleColor: '#555', fontSize: 15, subtitleFontSize: 12 },
    width: 700,
    height: 110,
    data: { values: reading.rows },
    encoding: {
      x: {
        field: 'word',
        type: 'nominal',
        sort: null,
        axis: isLast ? { title: null, labelAngle: -45, ticks: false } : null
      },
      y: {
        field: 'size',
        type: 'quantitative',
        axis: { title: 'moved by', tickCount: 4 },
        scale: { domainMax: HEADROOM * Math.max(...reading.rows.map(({ size }) => size)) }
      }
    },
    layer: [
      {
        mark: { type: 'bar' },
        encoding: { color: { condition: { test: named, value: '#c0392b' }, value: '#8fa3b5' } }
      },
      {
        transform: [{ filter: named }],
        mark: { type: 'text', baseline: 'top', color: '#c0392b', fontWeight: 'bold' },
        encoding: { text: { field: 'word' }, y: { value: 0 } }
      }
    ]
  }
}
