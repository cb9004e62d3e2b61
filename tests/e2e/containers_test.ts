/** The image and the compose file: what they name exists, and staps runs as they start it. */
import assert from "node:assert/strict";
import { parseCommandLine } from "../../src/commands/cli.ts";
import { statusStatus } from "../../src/commands/status/status.ts";
import { readEnvironment } from "../../src/settings/environment.ts";
import { builtPackage } from "../helpers/builds.ts";
import { block, readPage } from "../helpers/docs.ts";
import { eventually } from "../../tools/eventually.ts";
import { exists, TempFolder } from "../../tools/folder.ts";
import { baseImage, Podman } from "./podman.ts";
import { repository, runOrThrow, runProgram } from "../../tools/process.ts";
import { testUnless } from "../helpers/skip.ts";
import { readYaml } from "../helpers/yaml.ts";

const page = "docs/containers.md";
const composeFile = "containers/compose.yaml";
const composeText = await Deno.readTextFile(`${repository}/${composeFile}`);
const containerfile = await Deno.readTextFile(
  `${repository}/containers/Containerfile`,
);

/** What a service says that is looked at here. */
interface Service {
  readonly environment?: Record<string, string>;
  readonly volumes: readonly string[];
  readonly healthcheck: { readonly test: readonly string[] };
  readonly command?: readonly string[];
  readonly user?: string;
  readonly read_only: boolean;
  readonly cap_drop: readonly string[];
  readonly security_opt: readonly string[];
  readonly tmpfs?: readonly string[];
  readonly sysctls?: readonly string[];
}
const compose: {
  readonly services: Readonly<Record<"staps" | "nginx" | "rabbitmq", Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
} = JSON.parse(interpolated(JSON.stringify(await readYaml(composeFile))));

/** Puts values into the compose file as docker compose does: a variable's default, or `secret`. */
function interpolated(text: string): string {
  return text.replaceAll(
    /\$(?:\$|\{(\w+)(?::-([^}]*)|:\?[^}]*)\})/g,
    (_, name?: string, value?: string) =>
      name === undefined ? "$" : value ?? "secret",
  );
}

/** The Containerfile without comments, each instruction in one line; and of that the last stage. */
const stages = containerfile
  .replaceAll(/^\s*#.*\n/gm, "").replaceAll(/\\\n\s*/g, "");
const lastStage = stages.slice(stages.lastIndexOf("\nFROM "));

/** Gets what follows each instruction `name`. */
function all(name: string, text = lastStage): string[] {
  const found = text.matchAll(new RegExp(`^${name} (.*)$`, "gm"));
  return Array.from(found, ([, rest]) => rest!);
}

/** Gets the settings in an environment that has nothing else. */
function settingsIn(
  environment: Record<string, string>,
): ReturnType<typeof readEnvironment>["values"] {
  const options = { home: undefined };
  const { values, ...rest } = readEnvironment(environment, options);
  assert.deepEqual([...rest.problems, ...rest.unknown], []);
  assert.equal(values.size, Object.keys(environment).length);
  return values;
}

Deno.test("the Containerfile copies what there is, runs as nobody special, and starts staps without a shell", async () => {
  for (const copy of all("COPY", stages)) {
    if (copy.startsWith("--from=build ")) continue;
    for (const source of copy.split(" ").slice(0, -1)) {
      const isThere = await exists(`${repository}/${source}`);
      assert.ok(isThere, `There is no "${source}" to copy`);
    }
  }
  const made = all("RUN", stages).join("\n");
  assert.ok(made.includes(`npx --yes deno@${Deno.version.deno} task deb `));
  const [user] = all("USER");
  assert.match(user!, /^[1-9]\d+:[1-9]\d+$/);
  const [uid, gid] = user!.split(":");
  assert.ok(made.includes(`--gid ${gid} staps`));
  assert.ok(made.includes(`--uid ${uid} `));
  assert.deepEqual(all("ENTRYPOINT"), ['["/usr/bin/staps"]']);
  const command = parseCommandLine(JSON.parse(all("CMD")[0]!));
  assert.ok("subcommand" in command);
  assert.equal(command.subcommand.name, "serve");
  assert.deepEqual(all("STOPSIGNAL"), ["SIGTERM"]);
  // Both of its sockets are in folders that it makes.
  const variables = all("ENV").join(" ").split(" ");
  const environment = Object.fromEntries(
    variables.map((pair) => pair.split("=")),
  );
  for (const { value } of settingsIn(environment).values()) {
    const folder = String(value).replace(/\/[^/]*$/, "");
    assert.match(made, new RegExp(`install -d .*${folder}(\\s|$)`, "m"));
  }
});

Deno.test("the health check counts a node that only isn't ready as healthy, in image and compose file", () => {
  const [, command] = /CMD (.*)$/.exec(all("HEALTHCHECK")[0]!)!;
  const { test } = compose.services.staps.healthcheck;
  assert.deepEqual(test, ["CMD-SHELL", command]);
  assert.equal(
    command,
    `staps status || test $? -eq ${statusStatus.notReady}`,
  );
});

Deno.test("compose.yaml names settings, files and volumes that there are, and docs/containers.md its variables", async () => {
  const { staps, nginx, rabbitmq } = compose.services;
  const { value } = settingsIn(staps.environment!).get("staps.amqp")!;
  const url = value as Record<string, unknown>;
  // As the broker's own variables have it.
  const own = rabbitmq.environment!;
  assert.equal(url.hostname, "rabbitmq");
  assert.equal(url.user, own.RABBITMQ_DEFAULT_USER);
  assert.equal(url.password, own.RABBITMQ_DEFAULT_PASS);
  for (const volume of [staps, nginx, rabbitmq].flatMap((s) => s.volumes)) {
    const source = volume.split(":")[0]!;
    const isThere = source.startsWith(".")
      ? await exists(`${repository}/containers/${source}`)
      : source in compose.volumes;
    assert.ok(isThere, volume);
  }
  // The group that may use the socket.
  assert.equal(nginx.user!.split(":")[1], all("USER")[0]!.split(":")[1]);
  const { text } = await readPage(page);
  const table = text.split("\n## Settings\n")[1]!.split("\n## ")[0]!;
  const rows = Array.from(table.matchAll(/^\| (`.*?) +\|/gm));
  const documented = rows.flatMap(([, names]) => names!.match(/\w{2,}/g) ?? []);
  const used = Array.from(composeText.matchAll(/\$\{(\w+)/g), ([, n]) => n!);
  assert.deepEqual(documented.sort(), [...new Set(used)].sort());
});

Deno.test("docs/containers.md's commands are of this compose file and this image", async () => {
  const compose = `docker compose --file ${composeFile} `;
  const [set, up] = (await block(page, "up")).trim().split("\n");
  assert.match(set!, /^export RABBITMQ_PASSWORD=\$\(openssl rand -hex \d+\)$/);
  assert.equal(up, `${compose}up --build --detach`);
  const [status, post] = (await block(page, "look")).trim().split("\n");
  assert.equal(status, `${compose}exec staps staps status`);
  assert.match(post!, /^curl --data hello "http:\/\/localhost:8080\//);
  assert.ok(composeText.includes('"${PORT:-8080}:80"'));
  const image = await block(page, "image");
  assert.ok(image.includes("--file containers/Containerfile --tag staps ."));
  assert.ok(image.includes("--volume sockets:/run/staps staps\n"));
});

const podman = await Podman.startIfPossible();

/** Gets the flags of `podman run` that say what the compose file says of a service. */
function flagsOf(service: Service): string[] {
  const { environment = {}, volumes, user } = service;
  const each = (flag: string, values: readonly string[] = []): string[] =>
    values.map((value) => `--${flag}=${value}`);
  return [
    ...service.read_only ? ["--read-only", "--read-only-tmpfs=false"] : [],
    ...each("cap-drop", service.cap_drop),
    ...each("security-opt", service.security_opt),
    ...each("tmpfs", service.tmpfs),
    ...each("user", user === undefined ? [] : [user]),
    ...each("sysctl", service.sysctls),
    ...each("env", Object.entries(environment).map((pair) => pair.join("="))),
    ...each(
      "volume",
      volumes.map((each) => each.replace(/^\./, `${repository}/containers/.`)),
    ),
  ];
}

testUnless(typeof podman === "string" ? podman : undefined, {
  name:
    "the image and nginx run in podman as the compose file says: requests get through, signals arrive, no path is logged",
  async fn(): Promise<void> {
    await using started = podman as Podman;
    await using folder = await TempFolder.make();
    // The last stage as it is. What the first one makes with npm and a network
    // is made here, by the same command.
    await runOrThrow("dpkg-deb", [
      ...["--extract", await builtPackage()],
      `${folder.path}/image`,
    ]);
    await started.build(
      "ARG BASE\nFROM ${BASE} AS build\nCOPY image /image\n" +
        containerfile.slice(containerfile.lastIndexOf("\nFROM ")),
      { tag: "localhost/staps", context: folder.path },
    );
    const { staps, nginx } = compose.services;
    await started.run([], {
      image: "localhost/staps",
      flags: ["--detach", "--name=staps", ...flagsOf(staps)],
    });
    const logged = async (container: string, text: RegExp): Promise<void> => {
      let output = "";
      await eventually(async () => {
        const { stdout, stderr } = await started.try("logs", container);
        output = stdout + stderr;
        return text.test(output);
      }, () => `${container} to log ${text}, got ${output}`);
    };
    await logged("staps", /^\S+ info listening on \/run\/staps\/staps\.sock$/m);
    const name = await started.ok("exec", "staps", "cat", "/proc/1/comm");
    assert.equal(name, "staps");
    // There is no broker: alive, but not ready.
    const { code } = await started.try("exec", "staps", "staps", "status");
    assert.equal(code, statusStatus.notReady);
    await started.ok("healthcheck", "run", "staps");

    await started.run(nginx.command!, {
      image: baseImage,
      flags: ["--detach", "--name=nginx", ...flagsOf(nginx)],
    });
    const pid = await started.ok("inspect", "--format={{.State.Pid}}", "nginx");
    const curl = async (...args: string[]): Promise<string> => {
      const { stdout } = await runProgram("nsenter", [
        ...[`--target=${pid}`, "--net", "curl", "--silent"],
        ...["--write-out", " %{http_code}", ...args],
      ]);
      return stdout;
    };
    await eventually(
      async () => (await curl("http://localhost/")).endsWith(" 200"),
      async () =>
        `the front page, got ${(await started.try("logs", "nginx")).stderr}`,
    );
    const path = crypto.randomUUID();
    assert.match(
      await curl("--data", "hello", `http://localhost/${path}`),
      // staps's own words, as there is no broker.
      /^Nobody is here, and other nodes can't be asked now.* 503$/s,
    );
    await logged("nginx", /\] 503 .* upstream=503 /);
    const logs = await Promise.all(
      ["staps", "nginx"].map((name) => started.try("logs", name)),
    );
    assert.ok(!JSON.stringify(logs).includes(path));

    await started.ok("kill", "--signal=HUP", "staps");
    await logged("staps", /info reloaded changed="?nothing/);
    await started.ok("stop", "--time=15", "staps");
    await logged("staps", /info stopped$/m);
    const format = "--format={{.State.ExitCode}}";
    assert.equal(await started.ok("inspect", format, "staps"), "0");
  },
});
