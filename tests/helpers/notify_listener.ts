/** The other end of sd_notify(3). */
import { within } from "../../tools/eventually.ts";

/** A socket as systemd has it, and what was sent to it. */
export class NotifyListener implements AsyncDisposable {
  readonly #folder = Deno.makeTempDirSync();
  readonly path = `${this.#folder}/notify`;
  readonly #socket = Deno.listenDatagram({
    transport: "unixpacket",
    path: this.path,
  });

  /** Gets the next datagram's text. */
  async next(): Promise<string> {
    const [bytes] = await within(
      this.#socket.receive(),
      "a notification",
    );
    return new TextDecoder().decode(bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await Deno.remove(this.#folder, { recursive: true });
  }
}
