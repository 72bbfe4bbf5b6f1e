// Vega draws the plots: a grammar of graphics, from a table to an SVG without a browser.
import { parse, View } from 'vega'
import { compile } from 'vega-lite'
import type { TopLevelSpec } from 'vega-lite'

export interface Point {
  x: number
  y: number
  series: string
  /** Stands below the point. */
  label?: string
}

export interface PlotOptions {
  title: string
  /** Under the title: what the axes have no room for. */
  subtitle?: string
  x: string
  y: string
  points: Point[]
  /** The series in the order of the legend, with their dashes: those that fall on each other are told apart by them. */
  series: { name: string; color: string; dash?: number[] }[]
  percent?: boolean
  /** Powers of ten are equally far from each other along x. */
  logarithmic?: boolean
}

/** Lines over numbers, as SVG. */
export function plotLines({ x, y, points, series, percent, logarithmic, ...heads }: PlotOptions): Promise<string> {
  const names = series.map(({ name }) => name)
  return draw(heads, {
    data: { values: points },
    encoding: {
      x: {
        field: 'x',
        type: 'quantitative',
        title: x,
        scale: logarithmic === true ? { type: 'log', nice: false, padding: 24 } : {},
        axis: { tickMinStep: 1, grid: false, labelOverlap: true }
      },
      y: valueAxis(y, percent),
      color: { ...colors(series), legend: { symbolType: 'stroke' } }
    },
    layer: [
      {
        mark: { type: 'line', strokeWidth: 2, point: { size: 18 } },
        encoding: {
          strokeDash: {
            field: 'series',
            scale: { domain: names, range: series.map(({ dash }) => dash ?? [1, 0]) },
            title: null
          }
        }
      },
      {
        transform: [{ filter: 'datum.label' }],
        mark: { type: 'text', dy: 14, fontSize: 11 },
        encoding: { text: { field: 'label' }, color: { value: '#333' } }
      }
    ]
  })
}

export interface Bar {
  group: string
  series: string
  y: number
}

/** For each group a bar of each series, side by side, as SVG. */
export function plotBars(options: Omit<PlotOptions, 'points' | 'logarithmic'> & { bars: Bar[] }): Promise<string> {
  const { x, y, series, percent, bars, ...heads } = options
  return draw(heads, {
    data: { values: bars },
    mark: 'bar',
    encoding: {
      // What stands behind a comma has a line of its own.
      x: {
        field: 'group',
        type: 'nominal',
        title: x,
        sort: null,
        axis: { labelAngle: 0, labelExpr: `split(datum.label, ', ')` }
      },
      xOffset: { field: 'series', sort: series.map(({ name }) => name) },
      y: valueAxis(y, percent),
      color: colors(series)
    }
  })
}

const valueAxis = (title: string, percent = false) =>
  ({ field: 'y', type: 'quantitative', title, axis: { format: percent ? '.0%' : '~s' } }) as const

const colors = (series: PlotOptions['series']) => ({
  field: 'series',
  scale: { domain: series.map(({ name }) => name), range: series.map(({ color }) => color) },
  title: null
})

type Unit = Extract<TopLevelSpec, { mark: unknown }>
type Layers = Exclude<Extract<TopLevelSpec, { layer: unknown }>, { repeat: unknown }>
type Plot = Pick<Unit, 'data' | 'mark' | 'encoding'> | Pick<Layers, 'data' | 'layer' | 'encoding'>

async function draw({ title, subtitle }: Pick<PlotOptions, 'title' | 'subtitle'>, plot: Plot): Promise<string> {
  const spec: TopLevelSpec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'white',
    padding: 12,
    title: {
      text: title,
      subtitle,
      anchor: 'start',
      fontSize: 14,
      subtitleFontSize: 12,
      subtitleColor: '#555',
      offset: 12
    },
    width: 560,
    height: 260,
    ...plot,
    config: {
      font: 'sans-serif',
      axis: { labelFontSize: 11, titleFontSize: 12, labelLimit: 0 },
      legend: { labelFontSize: 12, labelLimit: 0, symbolSize: 300, symbolStrokeWidth: 2 }
    }
  }
  return new View(parse(compile(spec).spec), { renderer: 'none' }).toSVG()
}
