/** The members with whom `index` shares masks and shares: on the complete graph, all the others, rising (§3). */
export function partners(n: number, index: number): number[] {
  if (!Number.isInteger(index) || index < 0 || index >= n)
    throw new RangeError(`a roster of ${n} has no member ${index}`)
  return Array.from({ length: n - 1 }, (_, place) => (place < index ? place : place + 1))
}

/** The Shamir x-coordinate of what `_dealer` shares with `holder` (§8); on the complete graph the dealer makes no difference. */
export function shareSlot(_dealer: number, holder: number): number {
  // A slot is one byte, and 0 is where the secret itself lies.
  if (!Number.isInteger(holder) || holder < 0 || holder > 254)
    throw new RangeError(`member ${holder} has no share slot`)
  return 1 + holder
}
