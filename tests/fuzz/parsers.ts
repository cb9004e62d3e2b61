/** Text from administrators and clients: files, values, arguments, URLs. Nothing but these runs. */
import assert from "node:assert/strict";
import { isUtf8 } from "node:buffer";
import type { BrokerUrl } from "../../src/amqp/connect.ts";
import { formatHostPort } from "../../src/common/host_port.ts";
import { parseAmqpUrl } from "../../src/settings/amqp_url.ts";
import { parseCommandLine } from "../../src/commands/cli.ts";
import { freshUrl } from "../../src/commands/url.ts";
import type { LoadedConfig } from "../../src/settings/config.ts";
import {
  type ConfigProblem,
  ConfigProblemsError,
} from "../../src/settings/problems.ts";
import { UsageError } from "../../src/common/errors.ts";
import { channelPath, readHandshake } from "../../src/relay/handshake.ts";
import { renderExample } from "../../scripts/settings_text.ts";
import {
  amqpUrl as amqpUrlType,
  Invalid,
  type SettingType,
} from "../../src/settings/types.ts";
import { allSettings } from "../../src/settings/table.ts";
import { loadText, valueOf } from "../helpers/config.ts";
import type { Random } from "../helpers/random.ts";
import { mutateBytes, mutateText, oddText, textOf } from "./mutations.ts";
import {
  pureTarget,
  shorterBytes,
  shorterList,
  shorterText,
  type Target,
} from "./target.ts";

/** A password or a path that no message may show. */
const secret = "s3cr3tcanary";

const environment = { HOME: "/home/fuzz" };
const brokerUrl = `amqp://staps:${secret}@localhost/`;
const example = renderExample({ set: { "staps.amqp": brokerUrl } });
/** The same with every setting set that has a default. */
const fullExample = example.replaceAll(/^#([a-z_]+ = .)/gm, "$1");

const configWords = [
  ...allSettings.map(({ section }) => `[${section}]\n`),
  ...allSettings.map(({ key }) => `${key} = `),
  "\n",
  "\n[",
  "]\n",
  " = ",
  "1M",
  "0660",
  "/run/x",
  "amqp://a:b@c/",
  "amqps://a@[::1]:5671/v",
  "rabbit1, rabbit2:5672",
  "debug\n",
  "local\n",
];

const config: Target<Uint8Array<ArrayBuffer>> = pureTarget({
  name: "config",
  about: "configuration files: damaged examples, and pieces of INI",
  quickCount: 1_500,
  make: (random) => {
    const text = random.chance(0.3)
      ? textOf(random, configWords, { most: 40 })
      : mutateText(random, random.pick([example, fullExample]), {
        words: configWords,
        most: 6,
      });
    const bytes = new TextEncoder().encode(text);
    return random.chance(0.2) ? mutateBytes(random, bytes) : bytes;
  },
  show: (bytes) => bytes.toHex(),
  simpler: shorterBytes,
  check: (bytes) => {
    const loaded = expectError(
      () => loadText(bytes, { environment }),
      ConfigProblemsError,
    );
    if (loaded instanceof ConfigProblemsError) {
      checkProblems(loaded, new TextDecoder().decode(bytes));
    } else {
      assert.ok(isUtf8(bytes), "accepted");
      checkPrinted(loaded);
    }
  },
});

function checkProblems(error: ConfigProblemsError, text: string): void {
  const lines = text.split("\n").length;
  assert.ok(error.problems.length > 0);
  for (const problem of error.problems) {
    assert.ok(
      isPlaced(problem, lines),
      `No place: ${JSON.stringify(problem)}`,
    );
  }
  // The password of a URL that is still one.
  if (text.includes(brokerUrl)) {
    assert.ok(
      !`${error.message}${error.hint}`.includes(secret),
      `The message has a password: ${error.message}`,
    );
  }
}

function isPlaced({ file, line, key }: ConfigProblem, lines: number): boolean {
  return line === undefined
    // Between defaults there is no line.
    ? file === "the configuration" && key !== undefined
    : file.endsWith("/staps.conf") && line >= 1 && line <= lines;
}

/** Checks that a configuration printed as a file is the same one when it is read. */
function checkPrinted({ config, origins }: LoadedConfig): void {
  const set: Record<string, string> = {};
  for (const { section, key, type } of allSettings) {
    const name = `${section}.${key}`;
    if (!origins.has(name)) continue;
    set[name] = write(type, valueOf(config, { section, key }));
  }
  const again = loadText(renderExample({ set }), { environment });
  assert.deepEqual(again.config, config);
}

const settingWords = [
  ..."0 1 9 K M G B KiB 07 08 0o 0x - + . , : / ~/ ~ @ [ ] [::1] amqp:// amqps:// guest localhost rabbit1 5672 65536 amq. staps auto text json local refuse close on yes"
    .split(" "),
  " ",
  "\t",
];

/** Text for a setting, by its place in the table. */
interface ValueInput {
  readonly setting: number;
  readonly text: string;
}

const values = pureTarget<ValueInput>({
  name: "values",
  about: "the value of a setting, of each type",
  quickCount: 8_000,
  make: (random) => {
    const setting = random.integer(0, allSettings.length - 1);
    const { default: standard, type } = allSettings[setting]!;
    const shown = standard === undefined
      ? brokerUrl
      : type.show(standard as NonNullable<unknown>);
    const text = random.chance(0.5)
      ? mutateText(random, shown, { words: settingWords })
      : textOf(random, settingWords, { most: 5 });
    // As text from a file is.
    return { setting, text: text.trim().toWellFormed() };
  },
  show: (input) => JSON.stringify(input),
  simpler: function* ({ setting, text }): Generator<ValueInput> {
    for (const less of shorterText(text)) yield { setting, text: less };
  },
  check: ({ setting, text }) => {
    // Empty means unset, and never gets here.
    if (text === "") return;
    const { type } = allSettings[setting]!;
    const value = type.read(text, { home: environment.HOME });
    if (value instanceof Invalid) {
      assert.ok(value.expected.length > 0);
      return;
    }
    assert.deepEqual(
      type.read(write(type, value), { home: environment.HOME }),
      value,
    );
  },
});

const urlWords = [
  ..."amqp:// amqps:// AMQP:// http:// : :: @ / // ? # % %2f %40 %zz [ ] [::1] [fe80::1%25lo] guest localhost 127.0.0.1 5672 0 65536 . -"
    .split(" "),
  secret,
];

const amqpUrl: Target<string> = pureTarget({
  name: "amqp-url",
  about: "the URL of a broker",
  quickCount: 8_000,
  make: (random) =>
    (random.chance(0.5)
      ? mutateText(random, brokerUrl, { words: urlWords })
      : `amqp://${textOf(random, urlWords, { most: 8 })}`)
      // As text from a file is.
      .toWellFormed(),
  show: JSON.stringify,
  simpler: shorterText,
  check: (text) => {
    const url = parseAmqpUrl(text);
    if ("got" in url) {
      assert.ok(!`${url.got}${url.expected}`.includes(secret));
      return;
    }
    const { hostname, port, user, password, vhost } = url;
    assert.ok(Number.isInteger(port) && port >= 1 && port <= 65535);
    assert.ok(hostname !== "" && user !== "" && vhost !== "");
    assert.ok(!/[\s/@]/.test(hostname));
    assert.deepEqual(parseAmqpUrl(writeAmqpUrl(url)), url);
    const others = `${user}${hostname}${vhost}`;
    if (password.includes(secret) && !others.includes(secret)) {
      assert.ok(!amqpUrlType.show(url).includes(secret), "a password is shown");
    }
  },
});

function writeAmqpUrl(
  { tls, user, password, vhost, ...host }: BrokerUrl,
): string {
  const [name, word, place] = [user, password, vhost].map(encodeURIComponent);
  return `amqp${tls ? "s" : ""}://${name}:${word}@${
    formatHostPort(host)
  }/${place}`;
}

/** Writes a value so that it can be read again, with the password that is never shown. */
function write(type: SettingType<unknown>, value: unknown): string {
  return type === amqpUrlType
    ? writeAmqpUrl(value as BrokerUrl)
    : type.show(value as NonNullable<unknown>);
}

const channelUrl = `wss://example.org/${secret}`;

const argumentWords = [
  ..."serve check status url join completion bash zsh -h --help help -V --version -c --config -s --socket --admin-socket -l --listen -j --json -u --user -f --frontend -w --watch -b --binary -n --count -r --reconnect -- --config= --socket=/x -n5 -n-1 localhost:0 127.0.0.1:8080 [::1]:80 0.0.0.0:80 /run/x.sock 5 - --cnofig --no-json -lc"
    .split(" "),
  "",
  channelUrl,
];

const argv = pureTarget<readonly string[]>({
  name: "arguments",
  about: "the command line",
  quickCount: 1_000,
  make: (random) =>
    Array.from({ length: random.integer(0, 6) }, () => {
      const word = random.pick(argumentWords);
      return random.chance(0.2) ? mutateText(random, word, { most: 2 }) : word;
    }),
  show: JSON.stringify,
  simpler: function* (args): Generator<readonly string[]> {
    yield* shorterList(args);
    for (const [i, arg] of args.entries()) {
      for (const less of shorterText(arg)) yield args.with(i, less);
    }
  },
  check: (args) => {
    const command = expectError(() => parseCommandLine(args), UsageError);
    if (command instanceof UsageError) {
      const told = `${command.message}${command.hint}`;
      const secrets = args.filter((arg) => arg.includes(secret));
      if (secrets.every((arg) => arg === channelUrl)) {
        assert.ok(!told.includes(secret), `The error shows a path: ${told}`);
      }
      return;
    }
    assert.ok(command !== undefined);
    if ("text" in command) assert.ok(!command.text.includes(secret));
    else if ("base" in command.options) {
      const { base } = command.options;
      expectError(() => freshUrl(String(base)), UsageError);
    }
  },
});

const pathWords = [
  ..."/ // . .. /. /.. ? # % %2e %2E%2e %2f %5c \\ : @ ; * http: http+unix: ws: //host /x /X é %C3%A9 %zz a"
    .split(" "),
  "0191b0a5-6f5c-4d3e-8a11-6d5c1e2f3a4b",
];

const handshakeHeaders = [
  "Upgrade",
  "Connection",
  "Sec-WebSocket-Version",
  "Sec-WebSocket-Key",
  "Sec-WebSocket-Protocol",
  "Host",
  "Content-Length",
  "Transfer-Encoding",
];

/** A request as the runtime hands it over. */
interface RequestInput {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly (readonly [string, string])[];
}

const handshake = pureTarget<RequestInput>({
  name: "handshake",
  about: "a request's URL and headers, as the listener hands them over",
  quickCount: 4_000,
  make: (random) => ({
    method: random.chance(0.9) ? "GET" : random.pick(["POST", "get", "é", ""]),
    url: random.pick(["http+unix://%2Frun%2Fx", "http://localhost", "", "/"]) +
      textOf(random, pathWords, { most: 8 }),
    headers: Object.entries({
      Upgrade: "websocket",
      Connection: "keep-alive, Upgrade",
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
      Host: "localhost",
    }).flatMap(([name, value]) => headerLike(random, name, value)).concat(
      random.chance(0.5)
        ? headerLike(random, random.pick(handshakeHeaders), "a, b")
        : [],
    ).filter(isHeader),
  }),
  show: (input) => JSON.stringify(input),
  simpler: function* ({ method, url, headers }): Generator<RequestInput> {
    for (const less of shorterList(headers)) {
      yield { method, url, headers: less };
    }
    for (const less of shorterText(url)) yield { method, url: less, headers };
  },
  check: ({ method, url, headers }) => {
    const read = readHandshake({
      method,
      url,
      headers: new Headers(headers.map(([name, value]) => [name, value])),
    });
    if ("status" in read) {
      assert.ok([400, 405, 426].includes(read.status));
      assert.ok(/^[\x20-\x7e]+$/.test(read.message));
      return;
    }
    const { path } = read;
    assert.ok(path.startsWith("/") && !/[?#\s]/.test(path), path);
    // Who takes the path from there asks for the same channel.
    assert.equal(channelPath(`http://localhost${path}`), path);
    assert.equal(channelPath(`http+unix://%2Fx${path}?y`), path);
  },
});

function headerLike(
  random: Random,
  name: string,
  value: string,
): (readonly [string, string])[] {
  if (random.chance(0.05)) return [];
  const one = random.chance(0.15)
    ? mutateText(random, value, { most: 2 })
    : value;
  return random.chance(0.05)
    ? [[name, one], [name, oddText(random)]]
    : [[name, one]];
}

function isHeader([name, value]: readonly [string, string]): boolean {
  try {
    new Headers([[name, value]]);
    return true;
  } catch {
    // The runtime would have refused the request.
    return false;
  }
}

/** Gets what `run` returns, or the error of this class that it throws; others are passed on. */
function expectError<T, E extends Error>(
  run: () => T,
  // deno-lint-ignore no-explicit-any -- a class with any constructor
  expected: new (...args: any[]) => E,
): T | E {
  try {
    return run();
  } catch (error) {
    if (error instanceof expected) return error;
    throw error;
  }
}

/** The targets that are functions of text. */
export const parserTargets = [
  config,
  values,
  amqpUrl,
  argv,
  handshake,
] as const;
