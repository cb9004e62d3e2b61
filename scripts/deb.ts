/**
 * Makes a Debian package of staps, `dist/staps_VERSION_ARCH.deb`.
 *
 *     deno task deb [--fast]
 *
 * The program is what `deno compile` makes where that is possible, else the
 * runtime and the program, unpacked: the package manager keeps them as well as
 * the self-extracting file would. The same source gives the same package, byte
 * for byte. `--fast` compresses less.
 */
import { commandTree } from "../src/commands/cli.ts";
import {
  completionScript,
  type Shell,
  shells,
} from "../src/commands/completion.ts";
import { exampleSettings, renderExample } from "./settings_text.ts";
import { version } from "../src/common/version.ts";
import { bundle, compile, fill, print, runFlags, top } from "./compile.ts";
import { docFiles } from "./deb_docs.ts";
import { renderConfigManual, renderManual } from "./man.ts";
import { shellEnvironment } from "./runtime_environment.ts";

/** Whom to ask about the package: of whoever builds it, as Debian's tools read it. */
const maintainer = `${Deno.env.get("DEBFULLNAME") ?? "The staps packagers"} <${
  Deno.env.get("DEBEMAIL") ?? "staps@packages.example.org"
}>`;

/** Where to read about staps: of whoever builds the package; otherwise the site of its first version. */
const homepage = Deno.env.get("STAPS_HOMEPAGE") ??
  "https://staps.readthedocs.io/";

/** What differs in the shipped configuration from the defaults. */
const shippedSettings = {
  "daemon.user": "staps",
  "daemon.group": "staps",
  "daemon.dir": "/var/lib/staps/",
  ...exampleSettings,
};

/** Where the shells of Debian look for completions. */
const completionFiles: Readonly<Record<Shell, string>> = {
  bash: "usr/share/bash-completion/completions/staps",
  zsh: "usr/share/zsh/vendor-completions/_staps",
  fish: "usr/share/fish/vendor_completions.d/staps.fish",
};

/** What {@linkcode makePackage} takes. */
export interface PackageOptions {
  /** The folder for the package. */
  readonly output: string;
  /** Whether time matters more than size. */
  readonly fast?: boolean;
  /** Whether not to try `deno compile`. */
  readonly selfExtracting?: boolean;
  /** Tells people what happens. */
  readonly print?: (line: string) => void;
}

/** Makes the package, and gets its path. */
export async function makePackage(
  { output, fast = false, ...options }: PackageOptions,
): Promise<string> {
  const { print = () => {} } = options;
  const architecture = (await run(["dpkg", "--print-architecture"])).trim();
  const epoch = await sourceDate();
  const tree = await Deno.makeTempDir({ prefix: "staps-deb-" });
  try {
    await Deno.chmod(tree, 0o755);
    const files = new PackageTree(tree);
    print("1/3 The program");
    await addProgram(files, options);
    print("2/3 Units, documentation and examples");
    await addUnits(files);
    await addDocumentation(files, epoch);
    await files.add("etc/staps/staps.conf", shippedConfig());
    await addControl(files, architecture);
    await run([
      "find",
      tree,
      "-exec",
      "touch",
      "-h",
      "-d",
      `@${epoch}`,
      "{}",
      "+",
    ]);
    await Deno.mkdir(output, { recursive: true });
    print(
      `3/3 Compressing ${await kilobytesIn(tree)} KB, which takes ${
        fast ? "some seconds" : "up to two minutes"
      }`,
    );
    const path = `${output}/staps_${version}_${architecture}.deb`;
    await run([
      "dpkg-deb",
      "--root-owner-group",
      ...fast ? ["-Zgzip", "-z1"] : ["-Zxz", "-z6"],
      "--build",
      tree,
      path,
    ], { SOURCE_DATE_EPOCH: String(epoch) });
    return path;
  } finally {
    await Deno.remove(tree, { recursive: true });
  }
}

/** Gets the configuration file in the package. */
export function shippedConfig(): string {
  return renderExample({ set: shippedSettings });
}

/** The package's content as it grows. */
class PackageTree {
  constructor(readonly path: string) {}

  /** Makes the file `name` with `content`. */
  async add(
    name: string,
    content: string | Uint8Array,
    mode = 0o644,
  ): Promise<void> {
    const path = `${this.path}/${name}`;
    await this.#makeFolders(name);
    await (typeof content === "string"
      ? Deno.writeTextFile(path, content)
      : Deno.writeFile(path, content));
    // Not left to the umask.
    await Deno.chmod(path, mode);
  }

  /** Copies the file `source` of the repository. */
  async copy(source: string, name: string, mode = 0o644): Promise<void> {
    await this.add(name, await Deno.readFile(`${top}/${source}`), mode);
  }

  /** Adds a text compressed, as Debian wants manuals and changelogs. */
  async addCompressed(name: string, text: string): Promise<void> {
    const packed = await Deno.makeTempFile();
    await Deno.writeTextFile(packed, text);
    try {
      const { stdout } = await new Deno.Command("gzip", {
        args: ["-9nc", packed],
      }).output();
      await this.add(`${name}.gz`, stdout);
    } finally {
      await Deno.remove(packed);
    }
  }

  async #makeFolders(name: string): Promise<void> {
    let path = this.path;
    for (const folder of name.split("/").slice(0, -1)) {
      path += `/${folder}`;
      await Deno.mkdir(path, { recursive: true });
      await Deno.chmod(path, 0o755);
    }
  }
}

async function addProgram(
  files: PackageTree,
  { selfExtracting = false, print = () => {} }: Partial<PackageOptions>,
): Promise<void> {
  const executable = await Deno.makeTempFile({ prefix: "staps-" });
  try {
    // A self-extracting file isn't needed here, so it isn't made.
    const build = selfExtracting
      ? "self-extracting"
      : await compile({ output: executable, print, fallback: false });
    if (build === "deno compile") {
      await files.add("usr/bin/staps", await Deno.readFile(executable), 0o755);
      return;
    }
  } finally {
    await Deno.remove(executable);
  }
  const label = `packaged, deno ${Deno.version.deno}`;
  const launcher = await Deno.readTextFile(`${top}/packaging/launcher.sh`);
  await files.add(
    "usr/bin/staps",
    fill(launcher, {
      FLAGS: runFlags.join(" "),
      ENVIRONMENT: shellEnvironment,
    }),
    0o755,
  );
  for (const [name, script] of Object.entries(await bundle(label))) {
    await files.add(`usr/lib/staps/${name}`, script);
  }
  await files.add(
    // By this name processes are listed.
    "usr/lib/staps/staps",
    await Deno.readFile(Deno.execPath()),
    0o755,
  );
}

async function addUnits(files: PackageTree): Promise<void> {
  for (const unit of ["staps.service", "staps@.service"]) {
    await files.copy(unit, `lib/systemd/system/${unit}`);
  }
  await files.copy("packaging/sysusers.conf", "usr/lib/sysusers.d/staps.conf");
  await files.copy("packaging/tmpfiles.conf", "usr/lib/tmpfiles.d/staps.conf");
}

async function addDocumentation(
  files: PackageTree,
  epoch: number,
): Promise<void> {
  const day = new Date(epoch * 1000);
  const date = day.toISOString().slice(0, 10);
  await files.addCompressed(
    "usr/share/man/man1/staps.1",
    renderManual({ date }),
  );
  await files.addCompressed(
    "usr/share/man/man5/staps.conf.5",
    renderConfigManual({ date }),
  );
  const doc = "usr/share/doc/staps";
  await files.copy("packaging/copyright", `${doc}/copyright`);
  await files.copy("packaging/README.Debian", `${doc}/README.Debian`);
  await files.copy(
    "packaging/lintian-overrides",
    "usr/share/lintian/overrides/staps",
  );
  await files.addCompressed(
    `${doc}/changelog`,
    `staps (${version}) unstable; urgency=medium\n\n` +
      "  * What changes for users stands in CHANGELOG.md beside this file.\n\n" +
      ` -- ${maintainer}  ${day.toUTCString().replace("GMT", "+0000")}\n`,
  );
  for (const { name, content } of await docFiles()) {
    await files.add(`${doc}/${name}`, content);
  }
  for (const shell of shells) {
    await files.add(
      completionFiles[shell],
      completionScript(shell, commandTree()),
    );
  }
}

async function addControl(
  files: PackageTree,
  architecture: string,
): Promise<void> {
  const kilobytes = await kilobytesIn(files.path);
  const sums = await run([
    "sh",
    "-c",
    "cd \"$0\" && find . -type f ! -path './etc/*' -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 md5sum",
    files.path,
  ]);
  const control = await Deno.readTextFile(`${top}/packaging/control`);
  await files.add(
    "DEBIAN/control",
    fill(control, {
      VERSION: version,
      ARCHITECTURE: architecture,
      MAINTAINER: maintainer,
      HOMEPAGE: homepage,
      INSTALLED_SIZE: kilobytes,
    }),
  );
  await files.add("DEBIAN/md5sums", sums);
  await files.add("DEBIAN/conffiles", "/etc/staps/staps.conf\n");
  for (const script of ["postinst", "prerm", "postrm"]) {
    await files.copy(`packaging/${script}`, `DEBIAN/${script}`, 0o755);
  }
}

/** Gets the size of a folder as dpkg counts it. */
async function kilobytesIn(folder: string): Promise<string> {
  const text = await run(["du", "-sk", "--apparent-size", folder]);
  return text.split("\t")[0]!;
}

/** Gets the time of the last commit in seconds, or what `SOURCE_DATE_EPOCH` says (reproducible-builds.org). */
export async function sourceDate(): Promise<number> {
  const given = Number(Deno.env.get("SOURCE_DATE_EPOCH"));
  if (given > 0) return given;
  try {
    return Number(await run(["git", "-C", top, "log", "-1", "--format=%ct"]));
  } catch {
    // No repository: the age of the source.
    return Math.floor(
      (await Deno.stat(`${top}/deno.json`)).mtime!.getTime() / 1000,
    );
  }
}

async function run(
  [command, ...args]: string[],
  env: Record<string, string> = {},
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command!, {
    args,
    env,
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  if (!success) {
    throw new Error(
      `${command} ${args.join(" ")} failed:\n${text.decode(stderr)}`,
    );
  }
  return text.decode(stdout);
}

if (import.meta.main) {
  const path = await makePackage({
    output: `${top}/dist`,
    fast: Deno.args.includes("--fast"),
    selfExtracting: Deno.args.includes("--self-extracting"),
    print,
  });
  const { size } = await Deno.stat(path);
  print(`${path.slice(top.length + 1)}: ${Math.round(size / 1e6)} MB`);
}
