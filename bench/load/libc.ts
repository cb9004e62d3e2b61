/**
 * The few calls of the C library that the load generator lives on: blocking
 * and synchronous, so that its cost per message is that of the system calls.
 *
 * Linux with glibc only.
 */

// Lengths are `size_t`, but numbers (and not bigints) only as `u32`; both ways
// of calling clear the register's upper half.
const libc = Deno.dlopen("libc.so.6", {
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  setsockopt: {
    parameters: ["i32", "i32", "i32", "buffer", "u32"],
    result: "i32",
  },
  recv: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
  send: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  epoll_create1: { parameters: ["i32"], result: "i32" },
  epoll_ctl: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  epoll_wait: { parameters: ["i32", "buffer", "i32", "i32"], result: "i32" },
  __errno_location: { parameters: [], result: "pointer" },
}).symbols;

const AF_UNIX = 1;
const AF_INET = 2;
const SOCK_STREAM = 1;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const EPOLL_CTL_ADD = 1;
const EPOLLIN = 1;
const EAGAIN = 11;

/** Where a server listens: the path of its unix socket, or a port of 127.0.0.1. */
export type Address = { unix: string } | { port: number };

/**
 * Gets the descriptor of a new connection to `address`. Waits while the
 * server's queue of connections to accept is full.
 *
 * @throws {Error} If nobody listens there.
 */
export function connect(address: Address): number {
  const isUnix = "unix" in address;
  const fd = libc.socket(isUnix ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
  if (fd < 0) throw failure("make a socket");
  const name = isUnix ? unixName(address.unix) : loopbackName(address.port);
  if (libc.connect(fd, name, name.length) !== 0) {
    const error = failure(`connect to ${JSON.stringify(address)}`);
    libc.close(fd);
    throw error;
  }
  const on = new Uint8Array([1, 0, 0, 0]);
  if (!isUnix) libc.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, on, on.length);
  return fd;
}

/** Gets a `sockaddr_un`, unix(7). */
function unixName(path: string): Uint8Array<ArrayBuffer> {
  const name = new Uint8Array(110);
  name[0] = AF_UNIX;
  const { read } = new TextEncoder().encodeInto(path, name.subarray(2, 109));
  if (read < path.length) {
    throw new RangeError(`Cannot connect to "${path}": longer than 107 bytes`);
  }
  return name;
}

/** Gets a `sockaddr_in` of 127.0.0.1, ip(7). */
function loopbackName(port: number): Uint8Array<ArrayBuffer> {
  const name = new Uint8Array(16);
  name.set([AF_INET, 0, port >> 8, port & 0xff, 127, 0, 0, 1]);
  return name;
}

/** Gets how many bytes were read into `buffer`, 0 at the end, or -1 if there are none at the moment. */
export function receive(fd: number, buffer: Uint8Array<ArrayBuffer>): number {
  const count = libc.recv(fd, buffer, buffer.length, MSG_DONTWAIT);
  // Any other error is an end as well: the caller knows whether it expected one.
  return count >= 0 ? count : errno() === EAGAIN ? -1 : 0;
}

/** Gets how many of the bytes the kernel took: 0 if its buffer is full, or the connection is gone, as reading tells. */
export function send(fd: number, bytes: Uint8Array<ArrayBuffer>): number {
  const count = libc.send(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL);
  return Math.max(0, count);
}

/** Closes a descriptor. */
export function close(fd: number): void {
  libc.close(fd);
}

/** Descriptors that wait for something to read, each with a number of the caller's: epoll(7). */
export class Poll {
  static readonly #limit = 1024;
  // `struct epoll_event` is packed on x86-64 only: 12 bytes there, else 16.
  static readonly #stride = Deno.build.arch === "x86_64" ? 3 : 4;
  static readonly #data = Poll.#stride - 2;
  readonly #fd = libc.epoll_create1(0);
  readonly #events = new Int32Array(Poll.#limit * Poll.#stride);

  /** Adds a descriptor. */
  add(fd: number, number: number): void {
    const event = new Int32Array(Poll.#stride);
    event[0] = EPOLLIN;
    event[Poll.#data] = number;
    if (libc.epoll_ctl(this.#fd, EPOLL_CTL_ADD, fd, event) !== 0) {
      throw failure(`wait for descriptor ${fd}`);
    }
  }

  /** Gets how many descriptors are readable, waiting for one at most `timeoutMs` milliseconds. */
  wait(timeoutMs: number): number {
    const count = libc.epoll_wait(
      this.#fd,
      this.#events,
      Poll.#limit,
      timeoutMs,
    );
    return Math.max(0, count);
  }

  /** Gets the number of one that the last {@linkcode wait} found, by its position. */
  ready(index: number): number {
    return this.#events[index * Poll.#stride + Poll.#data]!;
  }
}

/** Gets the number of the last call's error. Read it at once. */
function errno(): number {
  return new Deno.UnsafePointerView(libc.__errno_location()!).getInt32();
}

function failure(what: string): Error {
  return new Error(`Cannot ${what}: errno ${errno()}`);
}
