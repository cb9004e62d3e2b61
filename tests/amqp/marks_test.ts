import assert from "node:assert/strict";
import { readMarks, writeMarks } from "../../src/amqp/marks.ts";

Deno.test("readMarks() gets what writeMarks() wrote", () => {
  const marks = [
    { prefix: "0123456789abcdef", last: 0 },
    { prefix: "ffffffffffffffff", last: Number.MAX_SAFE_INTEGER },
    { prefix: "0000000000000000", last: 2 ** 32 },
  ];
  assert.deepEqual(readMarks(writeMarks(marks)), marks);
  assert.deepEqual(readMarks(writeMarks([])), []);
});

Deno.test("readMarks() gets nothing of what somebody else wrote", () => {
  assert.deepEqual(readMarks(new Uint8Array(15)), []);
  assert.deepEqual(readMarks(new Uint8Array(32).fill(255)), []);
});
