import assert from "node:assert/strict";
import { SocketFile } from "../../src/system/socket_file.ts";
import { TempFolder } from "../../tools/folder.ts";

/** A listening socket in a folder of its own, and its file. */
class Bound implements AsyncDisposable {
  readonly socket: string;
  readonly spare: string;
  readonly listener: Deno.UnixListener;
  readonly file: SocketFile;

  constructor(readonly folder: TempFolder) {
    Deno.mkdirSync(`${folder.path}/run`);
    this.socket = `${folder.path}/run/s.sock`;
    this.spare = `${folder.path}/run/.s.sock.spare`;
    this.listener = Deno.listen({ transport: "unix", path: this.socket });
    Deno.chmodSync(this.socket, 0o620);
    this.file = new SocketFile("socket", this.socket);
  }

  connect(): Promise<Deno.UnixConn> {
    return Deno.connect({ transport: "unix", path: this.socket });
  }

  /** Accepts `client`, and lets something through. */
  async reaches(client: Deno.UnixConn): Promise<void> {
    using accepted = await this.listener.accept();
    await client.write(new Uint8Array(3));
    assert.equal(await accepted.read(new Uint8Array(8)), 3);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.file[Symbol.dispose]();
    this.listener.close();
    await this.folder[Symbol.asyncDispose]();
  }
}

const there = { state: "there" };
const madeAgain = { state: "made again" };

Deno.test("SocketFile.look() gives a removed file back, with its permissions and whoever waits there", async () => {
  await using bound = new Bound(await TempFolder.make());
  assert.deepEqual(bound.file.look(), there);
  using waiting = await bound.connect();
  for (let round = 0; round < 3; round++) {
    await Deno.remove(bound.socket);
    assert.deepEqual(bound.file.look(), madeAgain);
    assert.deepEqual(bound.file.look(), there);
  }
  assert.equal(Deno.lstatSync(bound.socket).mode! & 0o777, 0o620);
  await bound.reaches(waiting);
  using fresh = await bound.connect();
  await bound.reaches(fresh);
});

Deno.test("SocketFile.look() leaves what is in the file's place alone, until it is gone", async () => {
  await using bound = new Bound(await TempFolder.make());
  const why = "another file is in its place";
  const lost = { state: "lost", why, isFinal: false };
  await Deno.remove(bound.socket);
  await Deno.writeTextFile(bound.socket, "precious");
  assert.deepEqual(bound.file.look(), lost);
  assert.equal(await Deno.readTextFile(bound.socket), "precious");
  await Deno.remove(bound.socket);
  await Deno.symlink("/nowhere", bound.socket);
  assert.deepEqual(bound.file.look(), lost);
  await Deno.remove(bound.socket);
  assert.deepEqual(bound.file.look(), madeAgain);
});

Deno.test("SocketFile.look() says that only a restart helps when the folder is gone", async () => {
  await using bound = new Bound(await TempFolder.make());
  const folder = `${bound.folder.path}/run`;
  await Deno.rename(folder, `${folder}.old`);
  const why =
    "it was removed together with its folder or what is in it, staps needs a restart";
  const lost = { state: "lost", why, isFinal: true };
  assert.deepEqual(bound.file.look(), lost);
  await Deno.mkdir(folder);
  assert.deepEqual(bound.file.look(), lost);
  await Deno.remove(folder);
  await Deno.rename(`${folder}.old`, folder);
  assert.deepEqual(bound.file.look(), there);
});

Deno.test("SocketFile makes its second name again, overwrites nothing for it, and leaves none at its end", async () => {
  await using bound = new Bound(await TempFolder.make());
  await Deno.remove(bound.spare);
  assert.deepEqual(bound.file.look(), there);
  // Left by a process that was killed.
  await Deno.remove(bound.spare);
  const other = Deno.listen({ transport: "unix", path: bound.spare });
  assert.deepEqual(bound.file.look(), there);
  await Deno.remove(bound.socket);
  assert.deepEqual(bound.file.look(), madeAgain);
  // Which removes the second name.
  other.close();
  await Deno.writeTextFile(bound.spare, "precious");
  assert.deepEqual(bound.file.look(), there);
  bound.file[Symbol.dispose]();
  assert.equal(await Deno.readTextFile(bound.spare), "precious");
  await Deno.remove(bound.spare);
  assert.deepEqual(bound.file.look(), there);
  bound.file[Symbol.dispose]();
  await assert.rejects(Deno.lstat(bound.spare), Deno.errors.NotFound);
});
