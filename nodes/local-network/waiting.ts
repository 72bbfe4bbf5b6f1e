import { unwrapped } from '../terminal.ts'

const patienceMs = 2_000

/** Tells people what is being waited for where it takes longer than two seconds: one line, updated on a terminal. */
export async function whileWaiting<T>(
  text: () => string,
  work: Promise<T>,
  stream: NodeJS.WriteStream = process.stderr
): Promise<T> {
  const began = Date.now()
  let shown = false
  const show = (): void => {
    const seconds = Math.round((Date.now() - began) / 1000)
    if (stream.isTTY) stream.write(unwrapped(`\r\x1b[K${text()} (${seconds} s)`))
    else if (!shown) stream.write(`${text()}\n`)
    shown = true
  }
  let ticks: NodeJS.Timeout | undefined
  const first = setTimeout(() => {
    show()
    ticks = setInterval(show, 500)
  }, patienceMs)
  try {
    return await work
  } finally {
    clearTimeout(first)
    clearInterval(ticks)
    if (shown && stream.isTTY) stream.write('\r\x1b[K')
  }
}
