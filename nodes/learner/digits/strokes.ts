/** Ten digits as a pen would draw them: lines through points, x to the right and y downwards, in a square of side 1. */
type Point = readonly [x: number, y: number]

function arc(x: number, y: number, width: number, height: number, from: number, to: number): Point[] {
  const steps = 14
  return Array.from({ length: steps + 1 }, (_, at): Point => {
    const angle = ((from + ((to - from) * at) / steps) * Math.PI) / 180
    return [x + width * Math.cos(angle), y + height * Math.sin(angle)]
  })
}

export const strokes: readonly (readonly (readonly Point[])[])[] = [
  [arc(0.5, 0.5, 0.26, 0.38, 0, 360)],
  [
    [
      [0.36, 0.28],
      [0.54, 0.12],
      [0.54, 0.88]
    ]
  ],
  [[...arc(0.5, 0.33, 0.24, 0.21, 180, 385), [0.26, 0.87], [0.78, 0.87]]],
  [arc(0.47, 0.31, 0.24, 0.19, 200, 440), arc(0.47, 0.68, 0.27, 0.2, 275, 515)],
  [
    [
      [0.6, 0.12],
      [0.22, 0.62],
      [0.8, 0.62]
    ],
    [
      [0.62, 0.38],
      [0.62, 0.9]
    ]
  ],
  [[[0.74, 0.12], [0.34, 0.12], [0.31, 0.45], ...arc(0.48, 0.64, 0.26, 0.23, 240, 505)]],
  [[[0.64, 0.1], [0.4, 0.34], ...arc(0.5, 0.66, 0.22, 0.22, 190, 560)]],
  [
    [
      [0.24, 0.14],
      [0.76, 0.14],
      [0.42, 0.88]
    ]
  ],
  [arc(0.5, 0.3, 0.2, 0.18, 0, 360), arc(0.5, 0.68, 0.25, 0.21, 0, 360)],
  [[...arc(0.5, 0.34, 0.22, 0.22, 360, 0), [0.7, 0.5], [0.6, 0.9]]]
]
