// Seeded random choices: the same seed gives the same blocks.

/** A stream of random numbers (mulberry32) with the choices that are made from it. */
export class Chance {
  #state

  constructor(seed) {
    this.#state = seed >>> 0
  }

  /** 32 random bits. */
  bits() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }

  below(end) {
    return Math.floor((this.bits() / 0x1_0000_0000) * end)
  }

  between(first, last) {
    return first + this.below(last - first + 1)
  }

  oneIn(count) {
    return this.below(count) === 0
  }

  of(list) {
    return list[this.below(list.length)]
  }

  /** One of the keys of `weights`, as often as its weight says. */
  weighted(weights) {
    const entries = Object.entries(weights)
    let left = this.below(entries.reduce((sum, [, weight]) => sum + weight, 0))
    for (const [name, weight] of entries) {
      if (left < weight) return name
      left -= weight
    }
    throw new Error('the weights sum up to what was drawn from')
  }

  bytes(length) {
    return Uint8Array.from({ length }, () => this.below(256))
  }

  /** A word: small, large, or with few bytes. */
  word() {
    switch (this.below(4)) {
      case 0:
        return 0n
      case 1:
        return BigInt(this.below(5))
      case 2:
        return BigInt(this.bits())
      default:
        return BigInt('0x' + Buffer.from(this.bytes(32)).toString('hex'))
    }
  }
}
