import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { randomBytes } from '../../src/crypto/primitives.ts'
import { createRoster } from '../../src/membership/roster.ts'
import { certify, checkCertificate } from '../../src/round/certificates.ts'
import { signedBytes } from '../../src/round/messages.ts'
import type { Certificate } from '../../src/round/messages.ts'
import { medianOf, report } from './measure.ts'

const signers = 1000
const runs = 5

/** A certificate of 1,000 votes that were never seen before, as a member checks it. */
export async function benchVotes(): Promise<void> {
  const pairs = await Promise.all(
    Array.from({ length: signers }, async () => {
      const key = await generateKeyPair('Ed25519')
      return { key, id: peerIdFromPrivateKey(key).toString() }
    })
  )
  const roster = createRoster({ epoch: 0, members: pairs.map(({ id }) => id) })
  const keys = new Map(pairs.map(({ id, key }) => [roster.indexOf(id), key]))
  const context = { task: new Uint8Array(32), epoch: 0, round: 1 }
  const certificateOf = async (): Promise<Certificate> => {
    const vote = { agreement: 'attempt-0' as const, view: 0, value: randomBytes(32), root: null }
    const signed = signedBytes('Prepare', context, vote)
    const votes = new Map<number, Uint8Array>()
    for (const [member, key] of keys) votes.set(member, new Uint8Array(await key.sign(signed)))
    return certify(votes, vote, signers)
  }
  const times: number[] = []
  for (let run = 0; run <= runs; run++) {
    const certificate = await certificateOf()
    const began = performance.now()
    checkCertificate('Prepare', certificate, context, { roster, quorum: signers })
    if (run > 0) times.push(performance.now() - began)
  }
  report('votes.verify', medianOf(times), { signers })
}
