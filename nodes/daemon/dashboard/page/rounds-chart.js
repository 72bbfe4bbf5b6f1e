import { useLayoutEffect, useRef } from 'preact/hooks'
// A small, fast chart on a canvas.
import uPlot from 'uplot'
import { html } from './html.js'
import { onThemeChange } from './theme.js'

/** Fewer rounds than this leave room to the right. */
const leastRounds = 12

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name)

/** A canvas wants plain colours: registered, a property that depends on the theme computes to one. */
function register(name) {
  try {
    CSS.registerProperty({ name, syntax: '<color>', inherits: true, initialValue: 'gray' })
  } catch {
    // It is registered already.
  }
}

/**
 * Stacked bars, one a round.
 *
 * @param {{ name: string, colour: string, of: (round: object) => number }[]} parts from the bottom up; colours are custom properties
 * @param {(ticks: number[]) => string[]} told the labels of the axis
 * @param {(round: number) => void} onPick a round that was touched
 */
export function RoundsChart({ rounds, parts, told, height, selected, onPick }) {
  const box = useRef()
  const chart = useRef()
  const shown = useRef()
  shown.current = { rounds, selected, onPick }

  useLayoutEffect(() => {
    for (const name of ['--muted', '--line', '--ink', '--danger', ...parts.map(({ colour }) => colour)]) register(name)
    const width = () => box.current.clientWidth
    const plot = new uPlot(options({ parts, told, height, width: width(), shown }), [[]], box.current)
    chart.current = plot
    const sized = new ResizeObserver(() => plot.setSize({ width: width(), height }))
    sized.observe(box.current)
    const themed = onThemeChange(() => plot.redraw(true, true))
    return () => {
      sized.disconnect()
      themed()
      plot.destroy()
    }
  }, [])

  useLayoutEffect(() => chart.current.setData(stacked(rounds, parts)), [rounds, selected])
  return html`<div class="plot" ref=${box}></div>`
}

/** The highest stack first: what is drawn later covers its lower part. */
function stacked(rounds, parts) {
  const sums = rounds.map(() => 0)
  const layers = parts.map(({ of }) => rounds.map((round, at) => (sums[at] += of(round))))
  return [rounds.map(({ round }) => round), ...layers.toReversed()]
}

function options({ parts, told, height, width, shown }) {
  const axis = {
    stroke: () => colour('--muted'),
    font: '12px system-ui, sans-serif',
    ticks: { show: false },
    border: { show: false }
  }
  return {
    width,
    height,
    padding: [12, 4, 0, 0],
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, x: false, y: false, points: { show: false } },
    scales: {
      x: { time: false, range: ({ data }) => extent(data[0]) },
      y: { range: (_, low, high) => [0, (high || 1) * 1.1] }
    },
    axes: [
      { ...axis, grid: { show: false }, incrs: [1, 2, 5, 10, 20, 50, 100], space: 32, size: 26 },
      {
        ...axis,
        grid: { stroke: () => colour('--line'), width: 1 },
        size: 58,
        space: 28,
        values: (_, ticks) => told(ticks)
      }
    ],
    series: [
      {},
      ...parts.toReversed().map((part) => ({
        label: part.name,
        paths: uPlot.paths.bars({ size: [0.68, 34], radius: 0 }),
        fill: () => colour(part.colour),
        width: 0,
        points: { show: false }
      }))
    ],
    hooks: { draw: [(plot) => mark(plot, shown.current)], init: [(plot) => pickable(plot, shown)] }
  }
}

function extent(rounds) {
  const first = rounds[0] ?? 1
  return [first - 0.6, Math.max(rounds.at(-1) ?? 0, first + leastRounds - 1) + 0.6]
}

/** A cross above every burned round, and a line under the one that is described. */
function mark(plot, { rounds, selected }) {
  const { ctx, bbox, data } = plot
  const scale = devicePixelRatio
  ctx.save()
  ctx.lineWidth = 2 * scale
  for (const [at, { round, status }] of rounds.entries()) {
    const x = plot.valToPos(round, 'x', true)
    if (status === 'burned') {
      ctx.strokeStyle = colour('--danger')
      const [y, arm] = [plot.valToPos(data[1][at], 'y', true) - 9 * scale, 4 * scale]
      ctx.beginPath()
      ctx.moveTo(x - arm, y - arm)
      ctx.lineTo(x + arm, y + arm)
      ctx.moveTo(x + arm, y - arm)
      ctx.lineTo(x - arm, y + arm)
      ctx.stroke()
    }
    if (round === selected) {
      ctx.fillStyle = colour('--ink')
      ctx.fillRect(x - 8 * scale, bbox.top + bbox.height, 16 * scale, 3 * scale)
    }
  }
  ctx.restore()
}

function pickable(plot, shown) {
  plot.over.addEventListener('click', () => {
    const at = plot.cursor.idx
    if (at !== null && at !== undefined) shown.current.onPick(shown.current.rounds[at]?.round)
  })
}
