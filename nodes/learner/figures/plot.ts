// Vega draws the plots: a grammar of graphics, from a table to an SVG without a browser.
import { parse, View } from 'vega'
import { compile } from 'vega-lite'
import type { TopLevelSpec } from 'vega-lite'

export interface Point {
  x: number
  y: number
  series: string
}

export interface PlotOptions {
  title: string
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
export function plotLines({ title, x, y, points, series, percent, logarithmic }: PlotOptions): Promise<string> {
  const names = series.map(({ name }) => name)
  return draw(title, {
    data: { values: points },
    mark: { type: 'line', point: { size: 18 }, strokeWidth: 2 },
    encoding: {
      x: {
        field: 'x',
        type: 'quantitative',
        title: x,
        scale: logarithmic === true ? { type: 'log', nice: false } : {},
        axis: { tickMinStep: 1, grid: false, labelOverlap: true }
      },
      y: valueAxis(y, percent),
      color: colors(series),
      strokeDash: {
        field: 'series',
        scale: { domain: names, range: series.map(({ dash }) => dash ?? [1, 0]) },
        title: null
      }
    }
  })
}

export interface Bar {
  group: string
  series: string
  y: number
}

/** For each group a bar of each series, side by side, as SVG. */
export function plotBars(
  options: Pick<PlotOptions, 'title' | 'y' | 'series' | 'percent'> & { bars: Bar[] }
): Promise<string> {
  const { title, y, series, percent, bars } = options
  return draw(title, {
    data: { values: bars },
    mark: 'bar',
    encoding: {
      // What stands behind a comma has a line of its own.
      x: {
        field: 'group',
        type: 'nominal',
        title: null,
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

type Unit = Pick<Extract<TopLevelSpec, { mark: unknown }>, 'data' | 'mark' | 'encoding'>

async function draw(title: string, plot: Unit): Promise<string> {
  const spec: TopLevelSpec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'white',
    title: { text: title, anchor: 'start', fontSize: 14 },
    width: 560,
    height: 260,
    ...plot,
    config: {
      font: 'sans-serif',
      axis: { labelFontSize: 11, titleFontSize: 12, labelLimit: 0 },
      legend: { labelFontSize: 12, labelLimit: 0 }
    }
  }
  return new View(parse(compile(spec).spec), { renderer: 'none' }).toSVG()
}
