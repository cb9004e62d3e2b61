import assert from "node:assert/strict";
import {
  coresFor,
  readMeasured,
  renderSizes,
} from "../../scripts/scale_text.ts";

const clients = `\
workload	peer	clients	KiB per client	base MiB	connects/s	CPU µs per connect	start-up ms
idle-10000	staps	10000	10.24	50	9	9	9
idle-10000	relay	10000	99	99	99	99	99
storm	staps	5000	12	99	99	1000	9
storm	staps-nginx	5000	32.48	99	8735	1500	9
`;
const messages = `\
workload	peer	CPU µs per delivery	lowest	highest
fanout-64-binary	staps	4	1	9
pairs-64-text	staps	20	1	9
nginx-fanout-64-binary	staps-nginx	24	1	9
nginx-pairs-64-text	staps-nginx	50	1	9
`;

Deno.test("readMeasured() takes nginx's part as the difference, and names what is missing", () => {
  assert.deepEqual(readMeasured({ clients, messages }), {
    staps: { clientKib: 10.24, joinUs: 1000, manyUs: 4, pairUs: 20 },
    nginx: {
      clientKib: 20.479999999999997,
      joinUs: 500,
      manyUs: 20,
      pairUs: 30,
    },
    baseMib: 50,
    joinsPerS: 8735,
  });
  assert.throws(
    () =>
      readMeasured({ clients: clients.replace("base MiB", "MiB"), messages }),
    /"base MiB" of "idle-10000" with "staps" in docs\/benchmarks\//,
  );
});

Deno.test("coresFor() takes the larger of deliveries and of all clients' return, at half load", () => {
  // 100,000 × 1 ms / 10 s = 10 cores; 100,000 × 20 µs = 2 cores.
  assert.equal(coresFor(100_000, { joinUs: 1000, deliveryUs: 20 }), 20);
  assert.equal(coresFor(100_000, { joinUs: 100, deliveryUs: 20 }), 4);
  assert.match(
    renderSizes({ clients, messages }),
    // 20 × 50 MiB + 1000 MiB.
    /\n\| 100,000 \| 2 GiB \| 2 GiB \| 20 \| 10 \| 20 \| 10 \|\n/,
  );
});
