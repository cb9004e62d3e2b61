/**
 * The runtime's idle timers, set less often.
 *
 * For each message that comes, the runtime sets the client's idle timer anew:
 * that takes two operations and a closure, a seventh of what a message from one
 * client to another costs (Deno 2.8.2, `ext/websocket/01_websocket.js`). Here
 * it does so once in a while; a ping may come that much early. A runtime that
 * has no such timer, or hides it elsewhere, does as it does.
 */

/** A time-out of less turns than this is left alone: its timer would end before it may be set anew. */
const leastTurns = 5;

/** The runtime's method that sets a socket's timer. */
let methodSymbol: symbol | undefined;
/** When a socket's timer was set. */
const setAt = Symbol("setAt");

/** A socket as far as this knows it. */
interface Socket {
  [setAt]?: number;
  [method: symbol]: unknown;
}

/** The idle timers of one server's sockets. */
export class IdleTimers {
  /** Counts the turns in which timers were set. */
  #turn = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #original: ((this: Socket) => void) | undefined;
  readonly #set: (this: Socket) => void;
  readonly #turnMs: number;

  /** @param options.turnMs How long a timer that was just set stays as it is, in milliseconds. */
  constructor({ turnMs = 2000 }: { turnMs?: number } = {}) {
    this.#turnMs = turnMs;
    // deno-lint-ignore no-this-alias
    const timers = this;
    this.#set = function (): void {
      if (this[setAt] === timers.#turn) return;
      this[setAt] = timers.#turn;
      timers.#original!.call(this);
      timers.#timer ??= setTimeout(() => timers.#nextTurn(), timers.#turnMs);
    };
  }

  /**
   * Spares `socket` most of the work for its idle timer.
   *
   * @param idleTimeoutS Its time-out; short ones are left as they are.
   */
  spare(socket: WebSocket, idleTimeoutS: number): void {
    if (idleTimeoutS * 1000 < this.#turnMs * leastTurns) return;
    methodSymbol ??= Object.getOwnPropertySymbols(WebSocket.prototype)
      .find(({ description }) => description === "[[serverHandleIdleTimeout]]");
    if (methodSymbol === undefined) return;
    const own = socket as unknown as Socket;
    this.#original ??= own[methodSymbol] as (this: Socket) => void;
    own[setAt] = -1;
    own[methodSymbol] = this.#set;
  }

  /** Ends what waits. Timers are set no more than until then. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  #nextTurn(): void {
    this.#turn++;
    this.#timer = undefined;
  }
}
