import assert from 'node:assert/strict'
import * as dagCbor from '@ipld/dag-cbor'
import { bytesToHex } from '@noble/hashes/utils.js'
import type { Body, MessageType } from '../../src/round/messages.ts'

interface Entry {
  member: number
  type: MessageType
  /** Task, epoch and round, hex. */
  context: string
  epoch?: number
  body: Uint8Array
  /** Of a Prepare that names a sum: whether that was on the signer's disk. */
  onDisk?: boolean
  /** Looked at by several checks, and decoded for the first. */
  decoded?: { encoded: string; body: unknown }
}

const decoder = new TextDecoder('latin1')

function bodyOf<T extends MessageType>(entry: Entry): Body<T> {
  entry.decoded ??= { encoded: bytesToHex(entry.body), body: dagCbor.decode(entry.body) }
  return entry.decoded.body as Body<T>
}

/** The four fields of an envelope: domain, type, context, body, each behind its length. */
function fieldsOf(envelope: Uint8Array): Uint8Array[] {
  const view = new DataView(envelope.buffer, envelope.byteOffset, envelope.length)
  const fields: Uint8Array[] = []
  for (let at = 0; at < envelope.length;) {
    const length = view.getUint32(at)
    fields.push(envelope.slice(at + 4, at + 4 + length))
    at += 4 + length
  }
  return fields
}

/**
 * Everything that honest members of a simulation ever signed, across restarts: a signature that exists may have left.
 * Checked against the invariants of §14.
 */
export class Ledger {
  readonly #entries: Entry[]
  readonly #contexts = new Map<string, Pick<Entry, 'context' | 'epoch'>>()

  constructor(entries: Entry[] = []) {
    this.#entries = entries
  }

  /**
   * @param indexIn the signer's place in the roster of an epoch, which messages name it by; its number if left out
   * @param holdsSum whether the signer would still have the sum of that root if it crashed now
   */
  record(
    member: number,
    envelope: Uint8Array,
    indexIn: (epoch: number) => number = () => member,
    holdsSum: (round: number, root: Uint8Array) => boolean = () => true
  ): void {
    const [, type, bytes, body] = fieldsOf(envelope)
    const { context, epoch } = this.#contextOf(bytes)
    const signer = epoch === undefined ? member : indexIn(epoch)
    const entry: Entry = { member: signer, type: decoder.decode(type) as MessageType, context, epoch, body }
    this.#entries.push(entry)
    if (entry.type !== 'Prepare') return
    const { root } = bodyOf<'Prepare'>(entry)
    if (root !== null) entry.onDisk = holdsSum(Number(`0x${context.slice(-16)}`), root)
  }

  /** One for each round, and thousands of entries under it. */
  #contextOf(bytes: Uint8Array): Pick<Entry, 'context' | 'epoch'> {
    const key = decoder.decode(bytes)
    const before = this.#contexts.get(key)
    if (before !== undefined) return before
    const fields = fieldsOf(bytes)
    // What peers ask about the roster has another context.
    const epoch = fields.length === 3 ? Number(`0x${bytesToHex(fields[1])}`) : undefined
    const made = { context: bytesToHex(bytes), epoch }
    this.#contexts.set(key, made)
    return made
  }

  /** What was signed in one epoch. */
  ofEpoch(epoch: number): Ledger {
    return new Ledger(this.#entries.filter((entry) => entry.epoch === epoch))
  }

  /** @param corrupt members whose votes count for whatever value may need them */
  check(quorum: number, corrupt: ReadonlySet<number> = new Set()): void {
    this.#checkSaidOnce()
    this.#checkVotedOnce()
    this.decided(quorum, corrupt)
    this.#checkKept(quorum, corrupt)
    this.#checkSides()
    this.#checkSeeds()
  }

  /** Sum, root and opened seeds are on disk before a Prepare names them, but for one under a lock (§6). */
  #checkKept(quorum: number, corrupt: ReadonlySet<number>): void {
    const prepares = this.#bodies('Prepare').filter(({ body }) => body.root !== null)
    for (const { member, context, onDisk, body } of prepares) {
      if (onDisk === true) continue
      const root = bytesToHex(body.root!)
      const earlier = prepares.filter(
        (other) => other.context === context && other.body.view < body.view && bytesToHex(other.body.root!) === root
      )
      const isLocked = new Set(earlier.map((other) => other.member)).size + corrupt.size >= quorum
      assert.ok(isLocked, `member ${member} prepared a sum in view ${body.view} that is not on its disk`)
    }
  }

  /** How many messages of a type were signed, by all or by one. */
  count(type: MessageType, member?: number): number {
    return this.#entries.filter((entry) => entry.type === type && (member === undefined || entry.member === member))
      .length
  }

  /** Attempts of a round in which anyone advertised keys. */
  attempts(round: number): number {
    const suffix = round.toString(16).padStart(16, '0')
    const adverts = this.#bodies('KeyAdvert').filter(({ context }) => context.endsWith(suffix))
    return new Set(adverts.map(({ body }) => bytesToHex(body.attemptId))).size
  }

  #bodies<T extends MessageType>(type: T) {
    return this.#entries
      .filter((entry) => entry.type === type)
      .map((entry) => {
        const { member, context, onDisk } = entry
        const body = bodyOf<T>(entry)
        return { member, context, onDisk, encoded: entry.decoded!.encoded, body }
      })
  }

  /** S1, S2: one advert, one share root, one masked header an attempt. */
  #checkSaidOnce(): void {
    for (const type of ['KeyAdvert', 'ShareRoot', 'MaskedHeader'] as const) {
      const said = new Map<string, string>()
      for (const { member, context, encoded, body } of this.#bodies(type)) {
        const key = `${context}/${bytesToHex(body.attemptId)}/${member}`
        assert.equal(said.get(key) ?? encoded, encoded, `member ${member} signed two different ${type}s in one attempt`)
        said.set(key, encoded)
      }
    }
  }

  /** One Prepare and one Commit a view, and one ViewChange a view. */
  #checkVotedOnce(): void {
    const once = new Map<string, string>()
    for (const type of ['Prepare', 'Commit', 'ViewChange'] as const) {
      for (const { member, context, encoded, body } of this.#bodies(type)) {
        const agreement = 'agreement' in body ? `${context}/${body.agreement}` : context
        const key = `${type}/${agreement}/${body.view}/${member}`
        assert.equal(once.get(key) ?? encoded, encoded, `member ${member} signed two different ${type}s in one view`)
        once.set(key, encoded)
      }
    }
  }

  /**
   * The value (its hash, hex) that enough honest members committed to in one view for the corrupt ones to complete a
   * quorum, by agreement: at most one, for ever.
   */
  decided(quorum: number, corrupt: ReadonlySet<number> = new Set()): Map<string, string> {
    const committed = new Map<string, { agreement: string; value: string; members: Set<number> }>()
    for (const { member, context, body } of this.#bodies('Commit')) {
      const [agreement, value] = [`${context}/${body.agreement}`, bytesToHex(body.value)]
      const vote = [agreement, body.view, value, body.root && bytesToHex(body.root)].join(' ')
      const before = committed.get(vote) ?? { agreement, value, members: new Set() }
      before.members.add(member)
      committed.set(vote, before)
    }
    const decided = new Map<string, string>()
    for (const { agreement, value, members } of committed.values()) {
      if (members.size + corrupt.size < quorum) continue
      assert.equal(decided.get(agreement) ?? value, value, `two values were decided in ${agreement}`)
      decided.set(agreement, value)
    }
    return decided
  }

  /** What a member signed as its masked vector's header, in any attempt (hex of the body). */
  headersOf(member: number): Set<string> {
    return new Set(
      this.#bodies('MaskedHeader')
        .filter((said) => said.member === member)
        .map(({ encoded }) => encoded)
    )
  }

  /** Of whom honest members revealed a share, or their own seed. */
  revealed(): Array<{ dealer: number; side: 'seed' | 'key'; own: boolean }> {
    return this.#bodies('Reveal').flatMap(({ member, body }) => [
      ...(body.seed === null ? [] : [{ dealer: member, side: 'seed' as const, own: true }]),
      ...body.seedShares.map(({ dealer }) => ({ dealer, side: 'seed' as const, own: false })),
      ...body.keyShares.map(({ dealer }) => ({ dealer, side: 'key' as const, own: false }))
    ])
  }

  /** A member opens its own seed in at most one attempt of a round: after that its input is in a sum. */
  #checkSeeds(): void {
    const opened = new Map<string, string>()
    for (const { member, context, body } of this.#bodies('Reveal')) {
      if (body.seed === null) continue
      const key = `${context}/${member}`
      const attempt = bytesToHex(body.attemptId)
      assert.equal(opened.get(key) ?? attempt, attempt, `member ${member} opened its seed in two attempts of a round`)
      opened.set(key, attempt)
    }
  }

  /** S4: of no member both the seed side and the key side of one attempt. */
  #checkSides(): void {
    const opened = { seed: new Set<string>(), key: new Set<string>() }
    for (const { member, body } of this.#bodies('Reveal')) {
      const attempt = bytesToHex(body.attemptId)
      if (body.seed !== null) opened.seed.add(`${attempt}/${member}`)
      for (const { dealer } of body.seedShares) opened.seed.add(`${attempt}/${dealer}`)
      for (const { dealer } of body.keyShares) opened.key.add(`${attempt}/${dealer}`)
    }
    for (const { body } of this.#bodies('SumHeader')) {
      const attempt = bytesToHex(body.cut.attemptId)
      for (const { member } of body.seeds) opened.seed.add(`${attempt}/${member}`)
      for (const { member } of body.keys) opened.key.add(`${attempt}/${member}`)
    }
    for (const secret of opened.seed) assert.ok(!opened.key.has(secret), `both sides of ${secret} were opened`)
  }
}
