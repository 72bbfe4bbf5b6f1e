import { createParser } from 'eventsource-parser'

const longestWaitMs = 10_000

/**
 * Reads a daemon's events until the signal is aborted, and connects again when it has to. EventSource itself cannot carry
 * a token in a header.
 *
 * @param {(event: { event: string, data: object }) => void} onEvent `reset` first of all, for the server tells again what went before
 * @param {(status: 'connecting' | 'live' | 'lost' | 'refused') => void} onStatus
 */
export async function follow({ token, signal, onEvent, onStatus }) {
  let waitMs = 500
  onStatus('connecting')
  while (!signal.aborted) {
    try {
      const response = await fetch('/v1/events', { headers: { authorization: `Bearer ${token}` }, signal })
      if (response.status === 401) return onStatus('refused')
      if (!response.ok) throw new Error(`the daemon answered ${response.status}`)
      waitMs = 500
      onEvent({ event: 'reset' })
      onStatus('live')
      await read(response.body, onEvent)
    } catch {
      // Whatever it was: the connection is gone, and it is tried again.
    }
    if (signal.aborted) return
    onStatus('lost')
    await new Promise((resolve) => setTimeout(resolve, waitMs))
    waitMs = Math.min(2 * waitMs, longestWaitMs)
  }
}

async function read(body, onEvent) {
  const parser = createParser({
    onEvent: ({ event, data }) => {
      if (event !== undefined) onEvent({ event, data: JSON.parse(data) })
    }
  })
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    parser.feed(value)
  }
}
