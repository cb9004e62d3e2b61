/**
 * Property tests: statements about every input of a kind, tried with many
 * random ones. The only code that knows fast-check. A failure prints the seed
 * and the smallest input that fails.
 */
import fc from "fast-check";

export { fc };

/** Text of any characters, halves of pairs too; fast-check's own takes a second to begin with. */
export function anyText(maxLength = 10): fc.Arbitrary<string> {
  const unit = fc.nat({ max: 0x10ffff })
    .map((code) => String.fromCodePoint(code));
  return fc.string({ unit, maxLength });
}

/** Text made of the pieces that INI files have, so that random text gets past the first line. */
export function iniText(): fc.Arbitrary<string> {
  const piece = fc.oneof(
    fc.constantFrom(
      ..."[ ] = # ; \n \r\n \t \" ' staps limits log mode socket amqp".split(
        " ",
      ),
      ...[" ", "\n", "\r", "\0", "\uFEFF", "__proto__", "constructor", "0660"],
      ...["[staps]\n", "[limits]\n", "mode = ", "clients = "],
    ),
    anyText(8),
  );
  return fc.array(piece, { maxLength: 40 }).map((pieces) => pieces.join(""));
}
