/** The checker's rules, each with histories that keep it, and with some that don't. */
import assert from "node:assert/strict";
import type { CheckerOptions } from "./checker.ts";
import { judge } from "./written_history.ts";

/** A history, what has to be found in it, and what the checker is told. */
type Case = readonly [
  history: string,
  found: string,
  options?: Omit<CheckerOptions, "protocol">,
];

const two = "1 joins; 2 joins; 1 sends 1; 1 sends 2";
const apart = "1 joins on node 0; 2 joins on node 1";
const unnamed = "1 joins; 1 sends 1; 1 sends 2 empty; 1 sends 3; 2 joins; " +
  "1 sends 4 empty; 1 sends 5; 2 gets 1 of 1";
const told = "is closed with 4001 messages may have been lost";
const exact = { graceMs: 0, hasGaps: true };

/** Two who broke off and stay, and one on the same node or another. */
function reached(node: number, got = ""): string {
  return `1 joins; 2 joins; 3 joins on node ${node}; 1 sends 1; 1 resets; ` +
    `2 gets 1 of 1; ${got}2 leaves; 3 leaves`;
}

/** One who joins in an outage. */
function late(publisherNode: number, sendMs: number): string {
  return `1 joins on node ${publisherNode}; fault 1 is a broker-kill; 2 joins; ` +
    `at 1000: fault 1 ends; at ${sendMs}: 1 sends 1; 1 sends 2; ` +
    "2 gets 2 of 1; at 200000: settled; 1 leaves; 2 leaves";
}

/** A client's end on node 0, after faults on both nodes that end at 1000. */
function after(end: string, kind: string): string {
  return `1 joins; fault 1 is a ${kind} of node 1; ` +
    "fault 2 is a node-kill of node 0; at 1000: fault 1 ends; " +
    `at 1000: fault 2 ends; ${end}`;
}

const rules: Readonly<Record<string, readonly Case[]>> = {
  "accepts that a suffix is lost of who broke off, and of nobody else": [
    [`${two}; 2 gets 1 of 1; 1 resets; settled; 2 leaves`, ""],
    [`${two}; 1 resets; settled; 2 leaves`, ""],
    [`${two}; 2 gets 1 of 1 changed; 1 resets; 2 leaves`, "bytes 2"],
    [`${two}; 2 gets 1 of 1; 1 leaves; settled; 2 leaves`, "missing 2"],
    [`${two}; 2 gets 1 of 1; settled; 2 leaves; 1 leaves`, "missing 2"],
    [`${two}; 2 gets 2 of 1; 1 resets; settled; 2 leaves`, "missing 2"],
  ],
  // 2 and 3 may be missing, which were sent before.
  "takes an unnamed message for one from before the open only where it has to":
    [
      [`${unnamed}; 2 gets 0 unnamed; 2 gets 5 of 1; 2 leaves; 1 leaves`, ""],
      [`${unnamed}; 2 gets 5 of 1; 2 leaves; 1 leaves`, "missing 2"],
      [
        `${unnamed}; 2 gets 0 unnamed; 2 gets 3 of 1; 2 gets 5 of 1; 2 leaves; 1 leaves`,
        "missing 2",
      ],
    ],
  "notices unnamed messages that are lost, doubled, changed or made up": [
    [
      `${two}; 2 gets 1 of 1; 2 gets 2 of 1; 1 sends 3 unnamed; 1 sends 4; 2 gets 4 of 1; 2 resets; 1 leaves`,
      "missing 2",
    ],
    [
      `${two}; 2 gets 1 of 1; 2 gets 2 of 1; 1 sends 3 unnamed; 2 gets 3 unnamed; 2 gets 3 unnamed; 2 resets; 1 leaves`,
      "twice 2",
    ],
    [
      `${two}; 2 gets 1 of 1; 2 gets 2 of 1; 1 sends 3 unnamed; 2 gets 7 unnamed; 2 resets; 1 leaves`,
      "bytes 2",
    ],
    [`${two}; 2 gets 0 unnamed; 2 resets; 1 leaves`, "invented 2"],
    [
      `${two}; 2 gets 1 of 1; 2 gets 2 of 1; 1 sends 3 unnamed; 2 gets 3 unnamed as binary; 2 resets; 1 leaves`,
      "kind 2",
    ],
    [
      "1 joins; 1 sends 1 unnamed; 1 gets 1 unnamed; 1 leaves",
      "echo 1",
    ],
    [
      "1 joins; 1 sends 1 unnamed; 2 joins; 1 sends 2; 2 gets 7 unnamed; 2 gets 2 of 1; 2 resets; 1 leaves",
      "bytes 2",
    ],
    // Both are sent after its open: no named one has to tell that.
    [
      "1 joins; 1 sends 1; 2 joins; 1 sends 2 unnamed; 1 sends 3 unnamed; 2 gets 2 unnamed; settled; 2 leaves; 1 leaves",
      "missing 2",
    ],
    [
      "1 joins; 1 sends 1; 2 joins; 1 sends 2 unnamed; 2 gets 2 unnamed; settled; 2 leaves; 1 leaves",
      "",
    ],
  ],
  "wants a suffix lost to all clients of a node, or to none": [
    [reached(1), ""],
    [reached(0), "missing 3"],
    [reached(0, "3 gets 1 of 1; "), ""],
  ],
  "wants what came before a close to be without a gap": [
    [
      `fault 1 is a queue-deleted; ${two}; 1 sends 3; 2 gets 1 of 1; 2 ${told}; 1 leaves`,
      "",
    ],
    [
      `fault 1 is a queue-deleted; ${two}; 1 sends 3; 2 gets 1 of 1; 2 gets 3 of 1; 2 ${told}; 1 leaves`,
      "missing 2",
    ],
  ],
  "lets a node that dies forget what its clients had published before they left":
    [
      [
        `${apart}; 1 sends 1; 1 leaves; fault 1 is a node-kill of node 0; fault 1 ends; settled; 2 leaves`,
        "",
      ],
      [
        `${apart}; 1 sends 1; 1 leaves; fault 1 is a node-kill of node 1; fault 1 ends; settled; 2 leaves`,
        "missing 2",
      ],
    ],
  "wants everything of who is there in the end, even right after an outage": [
    [
      `${apart}; fault 1 is a bridge-reset of node 0; 1 sends 1; fault 1 ends; settled; 2 leaves; 1 leaves`,
      "missing 2",
    ],
    [
      `${apart}; fault 1 is a bridge-reset of node 0; 1 sends 1; fault 1 ends; 1 leaves; settled; 2 leaves`,
      "",
    ],
  ],
  "lets who joined in an outage miss other nodes' messages until its end, and no longer":
    [
      [late(1, 2000), ""],
      [late(1, 100_000), "missing 2"],
      [late(0, 2000), "missing 2"],
      [late(1, 2000), "missing 2", { onOutage: "refuse" }],
    ],
  "excuses an end only by a fault of that node and time": [
    [
      after(
        "at 1100: 1 is closed with 1001 service restart, retry=7",
        "node-stop",
      ),
      "close 1",
    ],
    [
      "1 joins; fault 1 is a node-stop of node 0; fault 1 ends; 1 is closed with 1001 service restart, retry=7",
      "",
    ],
    [
      "1 joins; fault 1 is a node-stop of node 0; fault 1 ends; at 60000: 1 is closed with 1001 service restart, retry=7",
      "close 1",
    ],
  ],
  "excuses nothing after a fault that is known to be over, and a gap by an outage of any node if it is to":
    [
      [after("at 1001: 1 is cut off", "node-kill"), ""],
      [after("at 1001: 1 is cut off", "node-kill"), "close 1", { graceMs: 0 }],
      [
        `1 joins; fault 1 is a bridge-black-hole of node 1; 1 ${told}`,
        "close 1",
      ],
      [
        `1 joins; fault 1 is a bridge-black-hole of node 1; 1 ${told}`,
        "",
        exact,
      ],
      [after(`at 1001: 1 ${told}`, "bridge-black-hole"), "close 1", exact],
    ],
  "excuses a refusal only by a fault, and none that isn't documented": [
    ["fault 1 is a node-kill; 1 is refused with 502", ""],
    ["fault 1 is a node-kill; 1 is refused with 500", "refused 1"],
    ["1 is refused with 502", "refused 1"],
    ["fault 1 is a broker-kill; 1 is refused with 503", "refused 1"],
    [
      "fault 1 is a broker-kill; 1 is refused with 503",
      "",
      { onOutage: "refuse" },
    ],
  ],
  "excuses no end that isn't documented": [
    [
      "1 joins; fault 1 is a queue-deleted; 1 is closed with 4999 just because",
      "close 1",
    ],
    [
      "1 joins; fault 1 is a queue-deleted; 1 is closed with 4001 just because",
      "close 1",
    ],
    [`1 joins; fault 1 is a queue-deleted; 1 ${told}`, ""],
    [`1 joins; 1 ${told}`, "close 1"],
  ],
  "wants every connection to end": [["1 joins", "unended 1"]],
  "lets a bad network lose the answer to a close frame, and nothing else": [
    ["1 joins; fault 1 is a clients-delay; 1 says goodbye; 1 is cut off", ""],
    ["1 joins; 1 says goodbye; 1 is cut off", "close 1"],
    ["1 joins; fault 1 is a clients-delay; 1 is cut off", "close 1"],
  ],
};

for (const [rule, cases] of Object.entries(rules)) {
  Deno.test(`Checker ${rule}`, () => {
    for (const [history, found, options] of cases) {
      assert.equal(judge(history, options), found, history);
    }
  });
}
