import { MessageError } from '../../src/errors.ts'
import { decodeMessage } from '../../src/round/messages.ts'
import type { AnyMessage, Body, Message, MessageType } from '../../src/round/messages.ts'
import type { Frame } from '../../src/round/ports.ts'
import { said } from './adversaries/adversary.ts'
import type { Simulation } from './network.ts'

/** One answer of a member: to what, what it would be, and what it would be to another request of the same asker. */
export interface Asked<T extends MessageType> {
  request: Message<T>
  honest: AsyncIterable<Frame>
  to: (body: Partial<Body<T>>) => AsyncIterable<Frame>
}

/** From here on a member that keeps to the protocol otherwise answers one kind of request in another way. */
export function answering<T extends MessageType>(
  simulation: Simulation,
  who: number,
  type: T,
  answer: (asked: Asked<T>) => AsyncIterable<Frame>
): void {
  const { participant } = simulation.peers[who]
  const honestly = participant.answer.bind(participant)
  participant.answer = async function* (peer, encoded) {
    const honest = honestly(peer, encoded)
    const message: AnyMessage = decodeMessage(encoded)
    if (message.type !== type) {
      yield* honest
      return
    }
    const request = message as Message<T>
    const to = (body: Partial<Body<T>>): AsyncIterable<Frame> =>
      honestly(peer, signedBy(simulation, request.from, request, body).payload)
    yield* answer({ request, honest, to })
  }
}

/** A message with another body, as a member would sign that. */
export function signedBy<T extends MessageType>(
  simulation: Pick<Simulation, 'signAs'>,
  member: number,
  original: Message<T>,
  change: Partial<Body<T>>
): Frame {
  const plot = { sign: (from: number, bytes: Uint8Array) => simulation.signAs(from, bytes) }
  return said(original.type, original, member, { ...original.body, ...change }, plot)
}

/** Members that others have named as at fault; what comes when nobody waits for it any more is none. */
export function namedBy({ peers, task }: Simulation, liars: readonly number[] = []): number[] {
  const refusals = peers.flatMap((peer, index) => (liars.includes(index) ? [] : peer.refusals))
  const named = refusals.flatMap((error) =>
    error instanceof MessageError && error.culprit !== undefined && !/is out of its phase$/.test(error.message)
      ? task.members.indexOf(error.culprit)
      : []
  )
  return [...new Set(named)]
}
