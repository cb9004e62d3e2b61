/** Small damage to bytes and text, of the kinds that have found bugs elsewhere. */
import { concat } from "../../tools/raw_client.ts";
import type { Random } from "../helpers/random.ts";

/** Bytes that parsers mind: limits of signs and lengths, blanks, separators. */
const notable = [0, 1, 9, 10, 13, 32, 0x7d, 0x7e, 0x7f, 0x80, 0xc0, 0xfe, 0xff];

/** Text that programs stumble over. */
const oddTexts = [
  ..."\0 \t \r \n \r\n \u00a0 \u0085 \u2028 \ufeff \ud800 \udfff 😀 é \u202e"
    .split(" "),
  ..."%00 %2f % %zz \\ \x1b[31m \x7f ' \" = [ ] # ; : @ / // .. ? - -- 0 -1 1e9"
    .split(" "),
  ..."0x10 99999999999999999999 NaN __proto__ constructor toString ${7*7} $&"
    .split(" "),
  ..."hasOwnProperty undefined".split(" "),
  " ",
];

/** Gets `bytes` with one to `most` changes. */
export function mutateBytes(
  random: Random,
  bytes: Uint8Array,
  { most = 4 }: { most?: number } = {},
): Uint8Array<ArrayBuffer> {
  let changed = new Uint8Array(bytes);
  for (let left = random.integer(1, most); left > 0; left--) {
    changed = mutateOnce(random, changed);
  }
  return changed;
}

function mutateOnce(
  random: Random,
  bytes: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const at = random.integer(0, Math.max(0, bytes.length - 1));
  const to = Math.min(bytes.length, at + random.integer(1, 16));
  const before = bytes.subarray(0, at);
  const part = bytes.subarray(at, to);
  const after = bytes.subarray(to);
  const flipped = (part[0] ?? 0) ^ 1 << random.integer(0, 7);
  const some = random.pick(notable);
  return concat(random.pick([
    [before, Uint8Array.of(flipped), part.subarray(1), after],
    [before, Uint8Array.of(some), part.subarray(1), after],
    [before, new Uint8Array(part.length).fill(some), after],
    [before, random.bytes(random.integer(1, 8)), part, after],
    [before, after],
    [before, part, part, after],
    [before],
  ]));
}

/** Gets a text that programs stumble over, sometimes a long one. */
export function oddText(random: Random): string {
  if (random.chance(0.03)) {
    return random.pick(["a", "9", "%41", "[", " ", "é"]).repeat(
      random.integer(64, 5_000),
    );
  }
  return random.chance(0.8)
    ? random.pick(oddTexts)
    : String.fromCharCode(random.integer(0, 0xffff));
}

/** Gets `text` with one or two changes. */
export function mutateText(random: Random, text: string): string {
  let changed = text;
  for (let left = random.integer(1, 2); left > 0; left--) {
    const at = random.integer(0, changed.length);
    const to = Math.min(changed.length, at + random.integer(1, 12));
    const [before, part, after] = [
      changed.slice(0, at),
      changed.slice(at, to),
      changed.slice(to),
    ];
    changed = random.pick([
      before + oddText(random) + part + after,
      before + oddText(random) + after,
      before + after,
      before + part + part + after,
      before + after + part,
    ]);
  }
  return changed;
}
