/**
 * The manual pages, made from what the program itself says: staps(1) from the
 * help texts, staps.conf(5) from the table of settings.
 */
import { joinStatus } from "../src/commands/join/ending.ts";
import { parseCommandLine } from "../src/commands/cli.ts";
import { defaultText } from "./settings_text.ts";
import { allSettings, type Section, settings } from "../src/settings/table.ts";
import { version } from "../src/common/version.ts";

/** What both pages take. */
export interface ManOptions {
  /** The date of the page, `YYYY-MM-DD`. */
  readonly date: string;
}

/** The exit statuses of `staps join` that no other command has. */
const joinStatuses: readonly (readonly [status: number, meaning: string])[] = [
  [
    joinStatus.comeBack,
    "The server or a frontend stops or restarts: come back. Closed with 1001, 1012 or 1013.",
  ],
  [
    joinStatus.refused,
    "The server refused what was sent: too big, too much. Closed with 1003, 1007, 1008 or 1009.",
  ],
  [
    joinStatus.missed,
    "Messages were missed: it read too slowly, or they were lost between nodes. Closed with 4000 or 4001.",
  ],
  [
    joinStatus.lost,
    "The connection was lost, or closed for another reason.",
  ],
  [65, "The input isn't UTF-8, or has a message of more than 64 MiB."],
  [130, "Ctrl-C (SIGINT); 143 is SIGTERM."],
];

/** Gets staps(1) as man(7) text. */
export function renderManual({ date }: ManOptions): string {
  const parts = [
    head("STAPS", 1, date),
    section("NAME"),
    "staps \\- temporary publish/subscribe channels over WebSocket",
    section("SYNOPSIS"),
  ];
  const commands = commandNames();
  for (const name of commands) {
    parts.push(`.B ${escape(readHelp(name).usage)}\n.br`);
  }
  parts.push(
    section("DESCRIPTION"),
    paragraphs(
      "The path of a WebSocket's URL names a channel. Whatever a client sends reaches all other clients " +
        "of the same channel. The first client creates a channel, the last one to leave ends it.\n\n" +
        "staps listens on a unix socket, behind a frontend such as nginx. Without a command it serves.",
    ),
    section("COMMANDS"),
  );
  for (const name of commands) {
    const { description, lists } = readHelp(name);
    parts.push(`.SS staps ${escape(name)}`, paragraphs(description));
    for (const { title, entries } of lists) {
      if (title !== "Options") parts.push(".PP", `${escape(title)}:`);
      for (const { term, text } of entries) {
        parts.push(".TP", `.B ${escape(term)}`, escape(text));
      }
    }
  }
  parts.push(
    section("EXIT STATUS"),
    ...Object.entries({
      0: "All went well. A server was told to stop, and did.",
      1: "It couldn't start, or the command failed. Trying again may help.",
      2: "The command line can't be understood.",
      70: "A bug in staps. The log says where.",
      78:
        "The configuration can't work. The message says what is wrong in which line.",
    }).flatMap(([code, text]) => [".TP", `.B ${code}`, escape(text)]),
    ".PP",
    escape("staps join has these besides:"),
    ...joinStatuses.flatMap((
      [code, text],
    ) => [".TP", `.B ${code}`, escape(text)]),
    section("SIGNALS"),
    ...Object.entries({
      "SIGTERM, SIGINT":
        "Tells the clients to come back later, and ends. A second one ends at once.",
      SIGHUP:
        "Reads the configuration again. What takes a restart is named in the log.",
      "SIGUSR1, SIGUSR2": "Nothing: they are ignored.",
    }).flatMap(([name, text]) => [".TP", `.B ${name}`, escape(text)]),
    section("FILES"),
    ...Object.entries({
      "/etc/staps/staps.conf":
        "The configuration of the machine, staps.conf(5).",
      "~/.staps.conf": "The user's, whose keys win.",
      "/run/staps/staps.sock":
        "The socket, unless the configuration says otherwise.",
    }).flatMap(([name, text]) => [".TP", `.I ${escape(name)}`, escape(text)]),
    section("SEE ALSO"),
    ".BR staps.conf (5),\n.BR systemctl (1),\n.BR nginx (8)",
  );
  return parts.join("\n") + "\n";
}

/** Gets staps.conf(5) as man(7) text. */
export function renderConfigManual({ date }: ManOptions): string {
  const parts = [
    head("STAPS.CONF", 5, date),
    section("NAME"),
    "staps.conf \\- configuration of staps",
    section("SYNOPSIS"),
    ".I /etc/staps/staps.conf\n.br\n.I ~/.staps.conf",
    section("DESCRIPTION"),
    paragraphs(
      "Sections in brackets, and in them lines of the form key = value. Lines that begin with # or ; are comments; " +
        "within a value both are ordinary characters, and so are quotes. A key without a value has its default.\n\n" +
        "Where both files set a key, the later one wins. With --config only that file counts. An unknown key or a wrong " +
        "value is an error with the exit status 78. Settings marked with (reload) take effect on SIGHUP, the others on a restart.",
    ),
  ];
  for (
    const [name, { doc }] of Object.entries(settings) as [string, Section][]
  ) {
    parts.push(section(`[${name}]`), paragraphs(doc));
    for (const setting of allSettings) {
      if (setting.section !== name) continue;
      const { key, type, reload } = setting;
      const kind = reload ? `${type.name} (reload)` : type.name;
      parts.push(
        ".TP",
        `.B ${escape(key)}`,
        `.RI ${quote(kind)}, " default" " " "${
          escape(defaultText(setting) || "unset").replaceAll('"', "\\(dq")
        }"\n.br`,
        marked(setting.doc),
      );
    }
  }
  parts.push(
    section("ENVIRONMENT"),
    paragraphs(
      "Each setting can also be given by a variable, which wins over the files; an option of the command line wins over it. " +
        "Its name is `STAPS_`, the section and `_`, then the key, all in capitals; for [staps] the section is left out: " +
        "`STAPS_AMQP`, `STAPS_LOG_LEVEL`. An empty variable counts as unset. `STAPS_AMQP_FILE` names a file that has the value.",
    ),
    section("SEE ALSO"),
    ".BR staps (1)",
  );
  return parts.join("\n") + "\n";
}

interface Help {
  readonly usage: string;
  readonly description: string;
  readonly lists: readonly {
    readonly title: string;
    readonly entries: readonly { term: string; text: string }[];
  }[];
}

/** Gets the names of the subcommands, as `--help` lists them. */
function commandNames(): string[] {
  const { lists } = parseHelp(helpText(["--help"]));
  const list = lists.find(({ title }) => title === "Commands");
  return list!.entries.map(({ term }) => term.split(" ")[0]!);
}

function readHelp(command: string): Help {
  return parseHelp(helpText([command, "--help"]));
}

function helpText(args: string[]): string {
  const command = parseCommandLine(args);
  if (!("text" in command)) throw new Error(`${args} gives no help`);
  return command.text;
}

/** Takes a help text apart: the usage, then prose, then lists under a title. */
function parseHelp(text: string): Help {
  const [usage, ...rest] = text.trimEnd().split("\n");
  const prose: string[] = [];
  const lists: { title: string; entries: { term: string; text: string }[] }[] =
    [];
  for (const line of rest) {
    const title = line.match(/^([A-Z][\w ]*):$/)?.[1];
    const entry = line.match(/^ {2}(\S.*?)(?:\s{2,}(.*))?$/);
    const list = lists.at(-1);
    if (title !== undefined) lists.push({ title, entries: [] });
    else if (list === undefined) prose.push(line);
    else if (entry) {
      list.entries.push({ term: entry[1]!, text: entry[2] ?? "" });
    } else if (line.trim() !== "") {
      const last = list.entries.at(-1)!;
      last.text = `${last.text} ${line.trim()}`.trim();
    }
  }
  return {
    usage: usage!.replace(/^Usage: /, ""),
    description: prose.join("\n").trim(),
    lists,
  };
}

function head(title: string, number: number, date: string): string {
  return `.TH ${title} ${number} ${date} "staps ${version}"\n.ad l\n.nh`;
}

function section(title: string): string {
  return `.SH ${escape(title)}`;
}

function paragraphs(text: string): string {
  return text.split(/\n\s*\n/).map((paragraph) =>
    marked(paragraph.replaceAll("\n", " "))
  ).join("\n.PP\n");
}

/** Turns `code` into bold. */
function marked(text: string): string {
  return escape(text).replaceAll(/`([^`]*)`/g, "\\fB$1\\fR");
}

function quote(text: string): string {
  return `"${escape(text).replaceAll('"', "\\(dq")}"`;
}

/** Keeps text text: no requests, no escapes, minus signs that can be copied. */
function escape(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-")
    .replaceAll(/^([.'])/gm, "\\&$1");
}
