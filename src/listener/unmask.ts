/**
 * Taking the mask off a payload (RFC 6455 section 5.3), four bytes at a time.
 * Deno runs on little-endian machines only: the first byte of a word is its
 * lowest.
 */

/** Memory as bytes and as words of four. */
export interface Block {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly words: Uint32Array<ArrayBuffer>;
}

/** The bits of a word that are 0 in ASCII. */
const highBits = 0x80808080;

/** Gets a block of `bytes`, rounded up to whole words. */
export function newBlock(bytes: number): Block {
  const words = new Uint32Array(bytes + 3 >> 2);
  return { bytes: new Uint8Array(words.buffer), words };
}

/** Gets the key that fits from `phase` bytes further on. */
export function turnKey(key: number, phase: number): number {
  const bits = 8 * (phase & 3);
  return bits === 0 ? key : key >>> bits | key << 32 - bits;
}

/**
 * Copies `count` bytes without their mask; `source` and `target` may be the
 * same place.
 *
 * @param from Where they begin in `source`.
 * @param to Where they go in `target`: as far from the start of a word as `from`.
 * @param key The mask, its first byte lowest.
 * @returns Whether all of them are ASCII.
 */
export function unmask(
  source: Block,
  from: number,
  target: Block,
  to: number,
  count: number,
  key: number,
): boolean {
  const sourceBytes = source.bytes;
  const targetBytes = target.bytes;
  const shift = to - from;
  const end = from + count;
  let seen = 0;
  let at = from;
  const firstWord = Math.min(end, from + 3 & ~3);
  let turning = key;
  for (; at < firstWord; at++) {
    const byte = sourceBytes[at]! ^ turning & 0xff;
    targetBytes[at + shift] = byte;
    seen |= byte;
    turning = turnKey(turning, 1);
  }
  const sourceWords = source.words;
  const targetWords = target.words;
  const wordShift = shift >> 2;
  const endWord = end >> 2;
  let word = at >> 2;
  for (; word < endWord; word++) {
    const four = sourceWords[word]! ^ turning;
    targetWords[word + wordShift] = four;
    seen |= four;
  }
  for (at = Math.max(at, word << 2); at < end; at++) {
    const byte = sourceBytes[at]! ^ turning & 0xff;
    targetBytes[at + shift] = byte;
    seen |= byte;
    turning = turnKey(turning, 1);
  }
  return (seen & highBits) === 0;
}
