/** podman, with a store, a folder and containers of the test's own: no image is downloaded. */
import { eventually } from "../../tools/eventually.ts";
import { debian12 } from "../../tools/debian_systems.ts";
import { ensurePackages } from "../../tools/packages.ts";
import { type Outcome, runOrThrow, runProgram } from "../../tools/process.ts";

/** How long a step such as a build may take, in milliseconds: other tests run. */
const stepTimeoutMs = 3 * 60_000;

/** The image that {@linkcode Podman.startIfPossible} makes: a small Debian, with nginx. */
export const baseImage = "localhost/staps-test-base";

/** What this machine may lack the right to raise, and podman would; and no network but loopback. */
const confined = [
  ...["--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000"],
  "--network=none",
];

/** What no container needs, and would only take time to copy. */
const leftOut = ["usr/share/doc", "usr/share/locale", "var/lib/apt"];

/** podman. Its containers end with it. */
export class Podman implements AsyncDisposable {
  readonly #folder = Deno.makeTempDirSync({ prefix: "staps-test-" });

  /** Gets a podman that has run a container from {@linkcode baseImage}, or tells why none can here. */
  static async startIfPossible(): Promise<Podman | string> {
    if (Deno.build.os !== "linux" || Deno.uid() !== 0) {
      return "containers take Linux and root";
    }
    const podman = new Podman();
    try {
      await ensurePackages(["podman", "runc"]);
      await podman.#importBase(await debian12());
      await podman.run(["true"], { image: baseImage, flags: ["--rm"] });
      return podman;
    } catch (error) {
      await podman[Symbol.asyncDispose]();
      const why = (error as Error).message.replaceAll("\n", " / ");
      return `no container runs here: ${why.slice(0, 500)}`;
    }
  }

  /** Runs podman with these arguments to its end. */
  try(...args: readonly string[]): Promise<Outcome> {
    return runProgram("podman", [
      ...["root", "runroot", "tmpdir"].map((name) =>
        `--${name}=${this.#folder}/${name}`
      ),
      ...["--cgroup-manager=cgroupfs", "--runtime=runc", ...args],
    ], { timeoutMs: stepTimeoutMs });
  }

  /** Does what {@linkcode try} does, and gets what it printed. @throws {Error} If it fails. */
  async ok(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.try(...args);
    if (code === 0) return stdout.trim();
    throw new Error(`podman ${args[0]} ended with ${code}: ${stderr.trim()}`);
  }

  /** Builds an image from a Containerfile's text. */
  async build(
    containerfile: string,
    { tag, context }: { tag: string; context: string },
  ): Promise<void> {
    await Deno.writeTextFile(`${context}/Containerfile`, containerfile);
    await this.ok(
      ...["build", ...confined, "--format=docker", `--tag=${tag}`],
      ...[`--build-arg=BASE=${baseImage}`, context],
    );
  }

  /** Runs a container, and gets what podman printed. */
  run(
    command: readonly string[],
    { image, flags }: { image: string; flags: readonly string[] },
  ): Promise<string> {
    const all = [...confined, "--log-driver=k8s-file", ...flags];
    return this.ok("run", ...all, image, ...command);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.try("rm", "--all", "--force", "--time=0").catch(() => {});
    // What watches a container still writes when that has ended, and the store
    // may be a mount of its own.
    await eventually(async () => {
      await runProgram("umount", [`${this.#folder}/root/overlay`]);
      return (await runProgram("rm", ["-rf", this.#folder])).code === 0;
    }, "podman to leave its folder");
  }

  async #importBase(root: string): Promise<void> {
    const archive = `${this.#folder}/base.tar`;
    await runOrThrow("tar", [
      ...["--create", `--file=${archive}`, `--directory=${root}`],
      ...leftOut.map((path) => `--exclude=./${path}/*`),
      ".",
    ], { timeoutMs: stepTimeoutMs });
    await this.ok("import", "--quiet", archive, baseImage);
    await Deno.remove(archive);
  }
}
