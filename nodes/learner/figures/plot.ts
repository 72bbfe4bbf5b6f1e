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
}

/** Lines over numbers, as SVG. */
export async function plotLines({ title, x, y, points, series, percent = false }: PlotOptions): Promise<string> {
  const names = series.map(({ name }) => name)
  const spec: TopLevelSpec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'white',
    title: { text: title, anchor: 'start', fontSize: 14 },
    width: 460,
    height: 260,
    data: { values: points },
    mark: { type: 'line', point: { size: 18 }, strokeWidth: 2 },
    encoding: {
      x: { field: 'x', type: 'quantitative', title: x, axis: { tickMinStep: 1, grid: false } },
      y: { field: 'y', type: 'quantitative', title: y, axis: { format: percent ? '.0%' : '~s' } },
      color: { field: 'series', scale: { domain: names, range: series.map(({ color }) => color) }, title: null },
      strokeDash: {
        field: 'series',
        scale: { domain: names, range: series.map(({ dash }) => dash ?? [1, 0]) },
        title: null
      }
    },
    config: {
      font: 'sans-serif',
      axis: { labelFontSize: 11, titleFontSize: 12 },
      legend: { labelFontSize: 12, labelLimit: 0 }
    }
  }
  return new View(parse(compile(spec).spec), { renderer: 'none' }).toSVG()
}
