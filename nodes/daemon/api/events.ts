import type { ServerResponse } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Feed, FeedEvent } from '../feed.ts'

const HEARTBEAT_MS = 15_000
/** A client that does not read this much is cut off; it comes back with Last-Event-ID. */
const MOST_UNREAD_BYTES = 4 * 2 ** 20

/** Streams the feed as server-sent events: what is kept first, or what came after Last-Event-ID, then what happens. */
export function streamEvents(feed: Feed, request: FastifyRequest, reply: FastifyReply): void {
  reply.hijack()
  const { raw } = reply
  raw.writeHead(200, {
    ...(reply.getHeaders() as Record<string, string>),
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    // Proxies that gather answers would hold events back.
    'x-accel-buffering': 'no'
  })
  raw.flushHeaders()
  const since = Number(request.headers['last-event-id'] ?? 0)
  for (const event of feed.history(Number.isFinite(since) ? since : 0)) raw.write(lines(event))
  const ignore = feed.listen((event) => write(raw, lines(event)))
  const heartbeat = setInterval(() => write(raw, ': still here\n\n'), HEARTBEAT_MS)
  raw.on('close', () => {
    ignore()
    clearInterval(heartbeat)
  })
}

function write(raw: ServerResponse, text: string): void {
  if (raw.writableLength > MOST_UNREAD_BYTES) raw.destroy()
  else raw.write(text)
}

function lines({ id, name, data }: FeedEvent): string {
  return `id: ${id}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`
}
