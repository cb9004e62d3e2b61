/** The checker's rules, each with histories in words that keep it, and with some that don't. */
import assert from "node:assert/strict";
import { Checker, type CheckerOptions } from "./checker.ts";
import { protocol } from "./documented.ts";
import { type FaultKind, faultKinds } from "./excuses.ts";
import type { Content, HistoryEvent } from "./history.ts";

const two = "1 joins; 2 joins; 1 sends 1; 1 sends 2";
const got = `${two}; 2 gets 1 of 1; 2 gets 2 of 1`;
const apart = "1 joins on node 0; 2 joins on node 1";
const unnamed = "1 joins; 1 sends 1; 1 sends 2 empty; 1 sends 3; 2 joins; " +
  "1 sends 4 empty; 1 sends 5; 2 gets 1 of 1";
const told = "is closed with 4001 messages may have been lost";
const restarted = "is closed with 1001 service restart, retry=7";
const whisper = "1 sends 3 unnamed; 1 sends 4";
/** Three of whom one breaks off and two stay, the third one on another node or the same. */
const three = "1 joins; 2 joins; 3 joins on node";
const reset = "1 sends 1; 1 resets; 2 gets 1 of 1";
/** The second one joins in an outage, the first one is on another node or the same. */
const late = "begin broker-kill; 2 joins; at 1000: end broker-kill";
const lateGets = "1 sends 1; 1 sends 2; 2 gets 2 of 1; at 200000: settled; " +
  "1 leaves; 2 leaves";
/** One on node 0, after faults on both nodes that end at 1000. */
const stopped = "1 joins; begin node-stop of node 1; begin node-kill of " +
  "node 0; at 1000: end node-stop; at 1000: end node-kill";
const holed = "1 joins; begin bridge-black-hole of node 1";

/** What the checker is told of the nodes, by a word before the history. */
const toldOf: Readonly<Record<string, Omit<CheckerOptions, "protocol">>> = {
  refusing: { onOutage: "refuse" },
  exact: { graceMs: 0, hasGaps: true },
};

/** By rule, lines of a history and what has to be found in it: kinds, and connections. */
const rules: Readonly<Record<string, string>> = {
  "accepts that a suffix is lost of who broke off, and of nobody else": `
    ${two}; 2 gets 1 of 1; 1 resets; settled; 2 leaves =>
    ${two}; 1 resets; settled; 2 leaves =>
    ${two}; 2 gets 1 of 1; 1 leaves; settled; 2 leaves => missing 2
    ${two}; 2 gets 1 of 1; settled; 2 leaves; 1 leaves => missing 2
    ${two}; 2 gets 2 of 1; 1 resets; settled; 2 leaves => missing 2`,
  "notices messages that are swapped, doubled, changed, made up or in the wrong place":
    `
    ${two}; 2 gets 2 of 1; 2 gets 1 of 1; 1 resets; 2 leaves => order 2
    ${got}; 2 gets 2 of 1; 1 resets; 2 leaves => twice 2
    ${two}; 2 gets 1 of 1 changed; 1 resets; 2 leaves => changed 2
    ${two}; 2 gets 1 of 1 as binary; 1 resets; 2 leaves => changed 2
    ${two}; 2 gets 1 of 1; 2 gets 1 of 7; 1 resets; 2 leaves => invented 2
    ${got}; 2 gets 3 of 1; 1 resets; 2 leaves => invented 2
    ${two}; 1 gets 1 of 1; 1 resets; 2 leaves => echo 1
    ${two}; 3 joins in channel 2; 3 gets 1 of 1; 1 resets; 2 leaves; 3 leaves => foreign 3`,
  "wants of a publisher the first message that was sent after the open": `
    1 joins; 1 sends 1; 2 joins; 1 sends 2; 1 sends 3; 2 gets 1 of 1; 2 gets 3 of 1; 2 resets; 1 leaves => missing 2
    1 joins; 1 sends 1; 1 sends 2; 2 joins; 1 sends 3; 2 gets 1 of 1; 2 gets 3 of 1; 2 resets; 1 leaves =>`,
  // 2 and 3 may be missing, which were sent before.
  "takes an unnamed message for one from before the open only where it has to":
    `
    ${unnamed}; 2 gets 0 unnamed; 2 gets 5 of 1; 2 leaves; 1 leaves =>
    ${unnamed}; 2 gets 5 of 1; 2 leaves; 1 leaves => missing 2
    ${unnamed}; 2 gets 0 unnamed; 2 gets 3 of 1; 2 gets 5 of 1; 2 leaves; 1 leaves => missing 2
    ${unnamed}; 2 gets 0 unnamed; 2 gets 0 unnamed; 2 gets 5 of 1; 2 leaves; 1 leaves =>`,
  "notices unnamed messages that are lost, doubled, changed or made up": `
    ${got}; ${whisper}; 2 gets 3 unnamed; 2 gets 4 of 1; 2 resets; 1 leaves =>
    ${got}; ${whisper}; 2 gets 4 of 1; 2 resets; 1 leaves => missing 2
    ${got}; ${whisper}; 2 gets 3 unnamed; 2 gets 3 unnamed; 2 gets 4 of 1; 2 resets; 1 leaves => invented 2
    ${got}; ${whisper}; 2 gets 7 unnamed; 2 gets 4 of 1; 2 resets; 1 leaves => invented 2
    ${got}; ${whisper}; 2 gets 3 unnamed as binary; 2 gets 4 of 1; 2 resets; 1 leaves => invented 2
    ${two}; 2 gets 0 unnamed; 2 resets; 1 leaves => invented 2
    1 joins; 1 sends 1 unnamed; 1 gets 1 unnamed; 1 leaves => echo 1`,
  "wants a suffix lost to all clients of a node, or to none": `
    ${three} 1; ${reset}; 2 leaves; 3 leaves =>
    ${three} 0; ${reset}; 2 leaves; 3 leaves => missing 3
    ${three} 0; ${reset}; 3 gets 1 of 1; 2 leaves; 3 leaves =>`,
  "wants what came before a close to be without a gap": `
    begin queue-deleted; ${two}; 1 sends 3; 2 gets 1 of 1; 2 ${told}; 1 leaves =>
    begin queue-deleted; ${two}; 1 sends 3; 2 gets 1 of 1; 2 gets 3 of 1; 2 ${told}; 1 leaves => missing 2`,
  "lets a node that dies forget what its clients had published before they left":
    `
    ${apart}; 1 sends 1; 1 leaves; begin node-kill of node 0; end node-kill; settled; 2 leaves =>
    ${apart}; 1 sends 1; 1 leaves; begin node-kill of node 1; end node-kill; settled; 2 leaves => missing 2`,
  "wants everything of who is there in the end, even right after an outage": `
    ${apart}; begin bridge-reset of node 0; 1 sends 1; end bridge-reset; settled; 2 leaves; 1 leaves => missing 2
    ${apart}; begin bridge-reset of node 0; 1 sends 1; end bridge-reset; 1 leaves; settled; 2 leaves =>`,
  "lets who joined in an outage miss other nodes' messages until its end, and no longer":
    `
    1 joins on node 1; ${late}; at 2000: ${lateGets} =>
    1 joins on node 1; ${late}; at 100000: ${lateGets} => missing 2
    1 joins on node 0; ${late}; at 2000: ${lateGets} => missing 2
    refusing: 1 joins on node 1; ${late}; at 2000: ${lateGets} => missing 2`,
  "excuses an end only by a fault of that node and time": `
    ${stopped}; at 1100: 1 ${restarted} => close 1
    1 joins; begin node-stop of node 0; end node-stop; 1 ${restarted} =>
    1 joins; begin node-stop of node 0; end node-stop; at 60000: 1 ${restarted} => close 1`,
  "excuses nothing after a fault that is known to be over, and a gap by an outage of any node if it is to":
    `
    ${stopped}; at 1001: 1 is cut off =>
    exact: ${stopped}; at 1001: 1 is cut off => close 1
    ${holed}; 1 ${told} => close 1
    exact: ${holed}; 1 ${told} =>
    exact: ${holed}; at 1000: end bridge-black-hole; at 1001: 1 ${told} => close 1`,
  "excuses a refusal only by a fault, and none that isn't documented": `
    begin node-kill; 1 is refused with 502 =>
    begin node-kill; 1 is refused with 500 => refused 1
    1 is refused with 502 => refused 1
    begin broker-kill; 1 is refused with 503 => refused 1
    refusing: begin broker-kill; 1 is refused with 503 =>`,
  "excuses no end that isn't documented": `
    1 joins; begin queue-deleted; 1 is closed with 4999 just because => close 1
    1 joins; begin queue-deleted; 1 is closed with 4001 just because => close 1
    1 joins; begin queue-deleted; 1 ${told} =>
    1 joins; 1 ${told} => close 1`,
  "wants every connection to end": "1 joins => unended 1",
  "lets a bad network lose the answer to a close frame, and nothing else": `
    1 joins; begin clients-delay; 1 says goodbye; 1 is cut off =>
    1 joins; 1 says goodbye; 1 is cut off => close 1
    1 joins; begin clients-delay; 1 is cut off => close 1`,
};

type Make = (connection: number, ...words: string[]) => HistoryEvent[];

/** What words of a history mean, of which most begin with a connection. A message's digest is its number. */
const meanings: readonly [RegExp, Make][] = [
  [/^settled$/, () => [{ event: "settled", channel: 1 }]],
  [/^begin (\S+)(?: of node (\d))?$/, (_, kind, node = "-1") => [{
    ...{
      event: "fault",
      fault: faultKinds.indexOf(kind as FaultKind),
      node: Number(node),
    },
    kind: kind as FaultKind,
  }]],
  [/^end (\S+)$/, (_, kind) => [
    { event: "healed", fault: faultKinds.indexOf(kind as FaultKind) },
  ]],
  [/^joins(?: on node (\d))?(?: in channel (\d))?$/, (id, node, channel) => [
    dial(id, channel),
    { event: "open", connection: id, node: Number(node ?? 0) },
  ]],
  [/^is refused with (\d+)$/, (connection, status) => [
    dial(connection),
    { event: "refused", connection, status: Number(status), reason: "" },
  ]],
  [/^sends (\d)( unnamed| empty)?$/, (connection, number, how) => [{
    ...{ event: "send", connection, number: Number(number) },
    ...{ named: how === undefined, ...content(number!, how) },
  }]],
  [/^gets (\d) of (\d)(.*)$/, (connection, number, publisher, how) => [{
    ...{ event: "receive", connection, publisher: Number(publisher) },
    ...{ number: Number(number), ...content(number!, how) },
  }]],
  [/^gets (\d) unnamed(.*)$/, (connection, number, how) => [{
    ...{ event: "receive", connection, publisher: 0, number: 0 },
    ...content(number!, how),
  }]],
  [/^says goodbye$/, (id) => [leave(id, "close")]],
  [/^leaves$/, (id) => [leave(id, "close"), close(id, "client", 1000)]],
  [/^resets$/, (id) => [leave(id, "reset"), close(id, "client", 1006)]],
  [/^is cut off$/, (id) => [close(id, "nobody", 1006)]],
  [/^is closed with (\d+) (.+)$/, (id, code, reason) => [
    { ...close(id, "server", Number(code)), reason: reason! },
  ]],
];

/** Gets what a few words of a history mean. */
function read(words: string): HistoryEvent[] {
  const [, id, rest] = /^(?:(\d) )?(.*)$/.exec(words)!;
  for (const [pattern, make] of meanings) {
    const match = pattern.exec(rest!);
    if (match !== null) return make(Number(id), ...match.slice(1));
  }
  throw new Error(`Expected words of a history, got "${words}"`);
}

function dial(connection: number, channel = "1"): HistoryEvent {
  return { event: "dial", connection, channel: Number(channel), door: 0 };
}

function leave(connection: number, how: "close" | "reset"): HistoryEvent {
  return { event: "leave", connection, how, code: 1000 };
}

function close(
  connection: number,
  by: "client" | "server" | "nobody",
  code: number,
): HistoryEvent & { event: "close" } {
  return { event: "close", connection, by, code, reason: "" };
}

function content(number: string, how = ""): Content {
  return {
    kind: how.endsWith("as binary") ? "binary" : "text",
    bytes: 9,
    digest: /changed|empty/.test(how) ? 0 : Number(number),
  };
}

for (const [rule, cases] of Object.entries(rules)) {
  Deno.test(`Checker ${rule}`, () => {
    for (const line of cases.trim().split("\n")) {
      const [, about = "", history, found] = line.match(
        /^ *(?:(exact|refusing): )?(.*?) =>(.*)$/,
      )!;
      const checker = new Checker({ protocol, ...toldOf[about] });
      let timeMs = 0;
      for (const each of history!.split("; ")) {
        const [, at, words] = /^(?:at (\d+): )?(.*)$/.exec(each)!;
        // They are a millisecond apart, if nothing is said.
        if (at !== undefined) timeMs = Number(at) - 1;
        for (const event of read(words!)) {
          checker.take({ ...event, timeMs: ++timeMs });
        }
      }
      const violations = checker.finish().violations
        .map(({ kind, connection }) => `${kind} ${connection}`).join("; ");
      assert.equal(violations, found!.trim(), line);
    }
  });
}
