/**
 * The kinds of values a setting can have: how text becomes a value, and how
 * people are told what is expected.
 */
import type { BrokerUrl } from "../amqp/connect.ts";
import { formatHostPort } from "../common/host_port.ts";
import {
  type BrokerHost,
  parseAmqpUrl,
  readHostname,
  readPort,
} from "./amqp_url.ts";
import { choice } from "./problems.ts";

/** The longest path of a unix socket in bytes: 108 with a final NUL (unix(7)). */
const maxSocketPathBytes = 107;

/**
 * What nobody sees in a path, and a blank other than the space: such a
 * character came from a web page or a word processor. U+2800 is drawn as nothing
 * but isn't called a blank (Unicode standard annex 44 for the properties).
 */
const unseen =
  /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]|[^\S ]/u;

/** What looks like a comment behind a value. */
const trailingComment = /\s[#;]/;

/** What to say where {@linkcode trailingComment} is found. */
const commentHint = "Comments need a line of their own";

/** What a value is read with. */
export interface ReadContext {
  /** The home folder that `~/` means, if there is one. */
  readonly home: string | undefined;
}

/** Why text is no value of a type. */
export class Invalid {
  /** What was found; `undefined` for the text itself. */
  readonly got: string | undefined;
  readonly expected: string;
  readonly hint: string | undefined;

  constructor(
    expected: string,
    { got, hint }: { got?: string; hint?: string } = {},
  ) {
    this.got = got;
    this.expected = expected;
    this.hint = hint;
  }
}

/** One kind of value. */
export interface SettingType<T> {
  /** What it is called in the reference, such as `bytes, 1 to 1G`. */
  readonly name: string;
  /** Turns text, without blanks around it and not empty, into a value. */
  read(text: string, context: ReadContext): T | Invalid;
  /** Turns a value into text that `read` turns into the same value, but for passwords. */
  show(value: T): string;
}

/** Whole numbers from `min` to `max`. */
export function wholeNumber(
  min: number,
  max: number,
): SettingType<number> {
  const range = `${min} to ${max}`;
  return {
    name: `whole number, ${range}`,
    read: (text) => {
      const expected = `a whole number from ${range}`;
      if (!/^[0-9]+$/.test(text)) {
        return /^[0-9]+ ?[a-z]+$/i.test(text)
          ? new Invalid(expected, { hint: "Leave the unit out" })
          : new Invalid(expected);
      }
      return inRange(Number(text), { min, max }) ?? new Invalid(expected);
    },
    show: String,
  };
}

/** Numbers of bytes from `min` to `max`; K, M and G stand for powers of 1024. */
export function bytes(min: number, max: number): SettingType<number> {
  const range = `${showBytes(min)} to ${showBytes(max)}`;
  return {
    name: `bytes, ${range}`,
    read: (text) => {
      const expected =
        `a number of bytes from ${range}, such as 65536, 64K, 1M or 1G`;
      const match = text.match(/^([0-9]+) ?([KMG]?)$/i);
      if (match === null) {
        return /^[0-9]+ ?[KMG]?i?B$/i.test(text)
          ? new Invalid(expected, { hint: 'Leave the "B" out: 1M is 1 MiB' })
          : new Invalid(expected);
      }
      const factor = 1024 ** " KMG".indexOf(match[2]!.toUpperCase() || " ");
      return inRange(Number(match[1]) * factor, { min, max }) ??
        new Invalid(expected);
    },
    show: showBytes,
  };
}

/** Permission bits in octal, up to 0777. The digits are octal with or without a leading `0` or `0o`. */
export const octal: SettingType<number> = {
  name: "octal permission bits",
  read: (text) => {
    const digits = text.match(/^(?:0o)?([0-7]+)$/i)?.[1];
    if (digits === undefined) return new Invalid("octal digits");
    return inRange(parseInt(digits, 8), { min: 0, max: 0o777 }) ??
      new Invalid("octal digits up to 0777");
  },
  show: (value) => value.toString(8).padStart(4, "0"),
};

/** Gets what to say of a value that is refused and may have a comment behind it. */
export function hintOfComment(text: string): string | undefined {
  return trailingComment.test(text) ? commentHint : undefined;
}

/** Absolute paths; `~/` at the beginning is the home folder. */
export const path: SettingType<string> = {
  name: "path",
  read: (text, { home }) => {
    const [character] = text.match(unseen) ?? [];
    if (character !== undefined) {
      return new Invalid("a path of visible characters and spaces", {
        got: `one with the invisible character ${codePoint(character)}`,
      });
    }
    if (trailingComment.test(text)) {
      return new Invalid('a path without a blank before "#" or ";"', {
        hint: commentHint,
      });
    }
    if (text.startsWith("/")) return text;
    if (text.startsWith("~/")) {
      return home?.startsWith("/")
        ? home.replace(/\/+$/, "") + text.slice(1)
        : new Invalid('a path that begins with "/"', {
          hint: '"~/" works only where HOME is an absolute path',
        });
    }
    return new Invalid('a path that begins with "/" or "~/"', quotesHint(text));
  },
  show: (value) => value,
};

/** Paths of unix sockets. */
export const socketPath: SettingType<string> = {
  name: "path of a socket",
  read: (text, context) => {
    const value = path.read(text, context);
    if (value instanceof Invalid) return value;
    const length = new TextEncoder().encode(value).length;
    if (length > maxSocketPathBytes) {
      return new Invalid(
        `a path of ${maxSocketPathBytes} bytes at most, as sockets need (unix(7))`,
        { got: `one of ${length} bytes` },
      );
    }
    return value.endsWith("/")
      ? new Invalid("the path of a file, not of a folder")
      : value;
  },
  show: (value) => value,
};

/** Names of users or groups. */
export const accountName: SettingType<string> = {
  name: "name",
  read: (text) => {
    if (/^[a-z_][a-z0-9_.-]{0,31}$/i.test(text)) return text;
    return new Invalid(
      "the name of a user or group: up to 32 letters, digits, _ . and -, no digit first",
      /^[0-9]+$/.test(text)
        ? { hint: "Write the name instead of the number" }
        : quotesHint(text),
    );
  },
  show: (value) => value,
};

/** Names of exchanges (AMQP 0-9-1, domain exchange-name), but none that a broker reserves. */
export const exchangeName: SettingType<string> = {
  name: "name",
  read: (text) => {
    if (text.startsWith("amq.")) {
      return new Invalid('a name that doesn\'t begin with "amq."', {
        hint: "Brokers keep these names for themselves",
      });
    }
    return /^[a-z0-9_.:-]{1,127}$/i.test(text) ? text : new Invalid(
      "up to 127 letters, digits, _ . : and -",
      quotesHint(text),
    );
  },
  show: (value) => value,
};

/** One of `words`. */
export function oneOf<const W extends string>(
  ...words: readonly W[]
): SettingType<W> {
  return {
    name: choice(words),
    read: (text) =>
      words.find((word) => word === text) ??
        new Invalid(choice(words.map((word) => `"${word}"`))),
    show: (value) => value,
  };
}

/** A broker's URL; see {@linkcode parseAmqpUrl}. Nothing of it gets into an error, and no password is shown. */
export const amqpUrl: SettingType<BrokerUrl> = {
  name: "URL",
  read: (text) => {
    const url = parseAmqpUrl(text);
    return "got" in url ? new Invalid(url.expected, { got: url.got }) : url;
  },
  show: (url) => {
    const [user, vhost] = [url.user, url.vhost].map(encodeURIComponent);
    const scheme = url.tls ? "amqps" : "amqp";
    return `${scheme}://${user}:***@${formatHostPort(url)}/${vhost}`;
  },
};

/** Hosts, each with a port or `undefined`, separated by commas or blanks. */
export const hostPorts: SettingType<readonly BrokerHost[]> = {
  name: "list of host:port",
  read: (text) => {
    const hosts: BrokerHost[] = [];
    for (const item of text.split(/[\s,]+/).filter((item) => item !== "")) {
      const match = item.match(/^(\[[^\]]*\]|[^:]*)(?::(.*))?$/);
      const hostname = readHostname(match?.[1] ?? "");
      const port = match?.[2] === undefined ? undefined : readPort(match[2]);
      if (
        hostname === undefined ||
        (match?.[2] !== undefined && port === undefined)
      ) {
        return new Invalid(
          "hosts separated by commas, such as rabbit1, rabbit2:5672 or [2001:db8::1]:5672",
        );
      }
      hosts.push({ hostname, port });
    }
    return hosts.length > 0
      ? hosts
      : new Invalid("at least one host, or nothing at all");
  },
  show: (value) => value.map(formatHostPort).join(", "),
};

/** Origins of web pages (RFC 6454), separated by commas or blanks; or `*`, all of them. */
export const origins: SettingType<readonly string[]> = {
  name: "list of origins, or `*`",
  read: (text) => {
    const items = text.split(/[\s,]+/).filter((item) => item !== "");
    const isGood = (item: string): boolean =>
      item === "*" && items.length === 1 ||
      /^https?:/.test(item) && URL.parse(item)?.origin === item;
    return items.length > 0 && items.every(isGood) ? items : new Invalid(
      'origins separated by commas, such as https://example.org or http://localhost:8080, or "*" alone',
    );
  },
  show: (value) => value.join(", "),
};

/** Writes a number of bytes with the largest suffix that loses nothing. */
function showBytes(value: number): string {
  for (const [power, suffix] of [[3, "G"], [2, "M"], [1, "K"]] as const) {
    if (value > 0 && value % 1024 ** power === 0) {
      return `${value / 1024 ** power}${suffix}`;
    }
  }
  return String(value);
}

function inRange(
  value: number,
  { min, max }: { min: number; max: number },
): number | undefined {
  return value >= min && value <= max ? value : undefined;
}

function quotesHint(text: string): { hint?: string } {
  return /^(["']).*\1$/.test(text)
    ? { hint: "Leave the quotes out: they would be part of the value" }
    : {};
}

/** Names a character: `U+200B`. */
function codePoint(character: string): string {
  const digits = character.codePointAt(0)!.toString(16).toUpperCase();
  return `U+${digits.padStart(4, "0")}`;
}
