/** A running staps whose files somebody removes, replaces or moves. */
import assert from "node:assert/strict";
import { permissions } from "../../scripts/permissions.ts";
import { ask } from "../helpers/admin.ts";
import { eventually, within } from "../../tools/eventually.ts";
import { TempFolder } from "../../tools/folder.ts";
import { NotifyListener } from "../helpers/notify_listener.ts";
import { Process, repository } from "../../tools/process.ts";
import { testUnless } from "../helpers/skip.ts";
import { newPath } from "../helpers/shared_staps.ts";
import { Clients, converse } from "../../tools/ws_client.ts";

/** A staps with all the files that it can have, and the permissions it is shipped with. */
class Node extends Process {
  readonly socket: string;
  readonly admin: string;
  readonly pidFile: string;

  private constructor(
    readonly folder: TempFolder,
    env: Record<string, string>,
  ) {
    const { path } = folder;
    const [socket, admin] = [`${path}/run/s.sock`, `${path}/admin.sock`];
    super(Deno.execPath(), [
      ...["run", ...permissions, `--config=${repository}/deno.json`],
      ...[`${repository}/main.ts`, `--config=${path}/staps.conf`],
      ...[`--socket=${socket}`, `--admin-socket=${admin}`],
    ], { env });
    this.socket = socket;
    this.admin = admin;
    this.pidFile = `${path}/pid/staps.pid`;
  }

  /** Starts one. `prepare` is called with the folder before. */
  static async start(
    { listener = "own", daemon = "", env = {}, prepare = () => {} }: {
      listener?: string;
      /** Further lines of `[daemon]`. */
      daemon?: string;
      env?: Record<string, string>;
      prepare?: (folder: string) => void;
    } = {},
  ): Promise<Node> {
    const folder = await TempFolder.make();
    for (const name of ["run", "pid"]) Deno.mkdirSync(`${folder.path}/${name}`);
    prepare(folder.path);
    Deno.writeTextFileSync(
      `${folder.path}/staps.conf`,
      `[staps]\nlistener = ${listener}\n` +
        `[daemon]\npid_file = ${folder.path}/pid/staps.pid\n${daemon}`,
    );
    const node = new Node(folder, env);
    await node.printed(/admin socket on/);
    await node.printed(/listening on/);
    return node;
  }

  /** Waits until `/readyz` gives these reasons. */
  async says(...expected: string[]): Promise<void> {
    let text = "";
    await eventually(async () => {
      const answer = await ask(this.admin, "/readyz");
      text = answer.text;
      const { reasons } = JSON.parse(text);
      assert.equal(answer.status, reasons.length === 0 ? 200 : 503);
      return String(reasons.map((one: { reason: string }) => one.reason)) ===
        String(expected);
    }, () => `${expected}, got ${text}`);
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    await this.folder[Symbol.asyncDispose]();
  }
}

for (const listener of ["own", "runtime"]) {
  Deno.test(`a removed socket is there again, and clients notice nothing, listener = ${listener}`, async () => {
    await using node = await Node.start({ listener });
    {
      await using clients = new Clients(node.socket);
      const path = newPath();
      const before = await clients.join(path);
      for (const file of [node.socket, node.admin, node.pidFile]) {
        await Deno.remove(file);
      }
      for (const name of ["socket", "admin socket", "PID file"]) {
        await node.printed(
          new RegExp(`warn the ${name} was gone, and is there again path=`),
        );
      }
      await converse(before, await clients.join(path));
      await node.says();
      assert.equal(await Deno.readTextFile(node.pidFile), `${node.pid}\n`);
    }
    assert.equal((await node.stop()).code, 0);
    const left = ["", "/run", "/pid"].flatMap((folder) => [
      ...Deno.readDirSync(node.folder.path + folder),
    ]);
    const names = left.map(({ name }) => name).sort();
    assert.deepEqual(names, ["pid", "run", "staps.conf"]);
  });
}

Deno.test("a node whose socket or PID file is another's isn't ready, until their places are free", async () => {
  await using node = await Node.start();
  await using clients = new Clients(node.socket);
  const path = newPath();
  const before = await clients.join(path);
  for (const file of [node.socket, node.pidFile]) {
    await Deno.rename(file, `${file}.away`);
    await Deno.writeTextFile(file, "1\n");
  }
  await node.says("socket_lost", "pid_file_lost");
  await node.printed(
    /error the socket is lost path=\S+ why="another file is in its place"$/m,
  );
  for (const file of [node.socket, node.pidFile]) await Deno.remove(file);
  await node.says();
  await converse(before, await clients.join(path));
});

Deno.test("a node whose socket's folder is gone isn't ready; under a service manager it ends when nobody is left", async () => {
  await using listener = new NotifyListener();
  await using node = await Node.start({
    env: { NOTIFY_SOCKET: listener.path },
  });
  {
    await using clients = new Clients(node.socket);
    const [a, b] = await clients.joinMany(newPath(), 2);
    await Deno.remove(`${node.folder.path}/run`, { recursive: true });
    await node.says("socket_lost");
    await Deno.mkdir(`${node.folder.path}/run`);
    await converse(a!, b!);
    assert.ok(!node.ended);
  }
  assert.equal((await within(node.status, "the end")).code, 1);
  assert.match(
    node.stderr,
    /^staps: error: The socket "\S+" is lost: it was removed .* needs a restart$/m,
  );
});

testUnless(Deno.uid() === 0 ? undefined : "only root can change users", {
  name:
    "a file that the user of [daemon] may not look at isn't taken for lost, one in the user's folder is made again",
  async fn(): Promise<void> {
    await using node = await Node.start({
      daemon: "user = www-data\n",
      prepare(folder): void {
        Deno.chownSync(`${folder}/run`, 33, 33);
        Deno.chmodSync(`${folder}/pid`, 0o700);
      },
    });
    await Deno.remove(node.socket);
    await node.printed(/warn the socket was gone, and is there again/);
    await node.says();
    assert.doesNotMatch(node.stderr, / error /);
    await using clients = new Clients(node.socket);
    const path = newPath();
    await converse(await clients.join(path), await clients.join(path));
  },
});
