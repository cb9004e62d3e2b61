/** The one loop that waits for all connections of this process, of whatever session. */
import type { Connection } from "./connection.ts";
import { close, Poll, receive } from "./libc.ts";

/** Bytes that one read takes at most. */
const readBytes = 1 << 18;

/** Reads what servers send, and hands it to the connections. */
export class Reactor {
  readonly #poll = new Poll();
  readonly #buffer = new Uint8Array(readBytes);
  readonly #connections: (Connection | undefined)[] = [];
  readonly #blocked = new Set<Connection>();
  /** When the bytes that are handled now were read, in milliseconds. */
  now = performance.now();

  add(connection: Connection): void {
    this.#connections[connection.fd] = connection;
    this.#poll.add(connection.fd);
  }

  remove(connection: Connection): void {
    this.#connections[connection.fd] = undefined;
    this.#blocked.delete(connection);
    close(connection.fd);
  }

  /** Remembers a connection whose server doesn't read at the moment. */
  block(connection: Connection): void {
    this.#blocked.add(connection);
  }

  /** Handles what is there, waiting for it at most `timeoutMs`. */
  step(timeoutMs: number): void {
    for (const connection of this.#blocked) {
      if (connection.flush()) this.#blocked.delete(connection);
    }
    const count = this.#poll.wait(this.#blocked.size > 0 ? 1 : timeoutMs);
    this.now = performance.now();
    for (let i = 0; i < count; i++) {
      const connection = this.#connections[this.#poll.ready(i)];
      if (connection === undefined) continue;
      const length = receive(connection.fd, this.#buffer);
      if (length < 0) continue;
      this.now = performance.now();
      try {
        if (length === 0) connection.onEnd();
        else connection.onBytes(this.#buffer, length);
      } catch (error) {
        // It may be another session than the one that waits.
        connection.session.fail(error);
      }
    }
  }
}
