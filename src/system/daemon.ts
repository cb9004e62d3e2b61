/**
 * The section `[daemon]`, for start-up without a service manager: user, group,
 * umask, working folder and PID file. A process started as root binds its
 * sockets first, then becomes its user for good.
 */
import process from "node:process";
import { Accounts, type User } from "./accounts.ts";
import { ConfigError, StartupError } from "../common/errors.ts";
import { PidFile } from "./pid_file.ts";
import type { Owner } from "./unix_socket.ts";

/** The section `[daemon]`. */
export interface DaemonOptions {
  readonly user?: string | undefined;
  readonly group?: string | undefined;
  readonly dir?: string | undefined;
  readonly pidFile?: string | undefined;
  readonly umask?: number | undefined;
}

/** The process as a daemon. Disposal removes its PID file. */
export class Daemon implements Disposable {
  /** Whom the sockets are to belong to. */
  readonly owner: Owner;
  readonly #dir: string | undefined;
  readonly #pidFile: PidFile | undefined;
  /** What is left to do after binding. */
  readonly #becomeUser: (() => void) | undefined;

  private constructor(
    { owner, becomeUser }: Account,
    { dir, pidFile }: { dir: string | undefined; pidFile: PidFile | undefined },
  ) {
    this.owner = owner;
    this.#becomeUser = becomeUser;
    this.#dir = dir;
    this.#pidFile = pidFile;
  }

  /**
   * Does what comes before binding: finds the user and the group, sets the
   * umask, and writes the PID file, unless a service manager knows the number.
   *
   * @throws {ConfigError} If there is no such user or group, or if this process
   * is somebody else and may not become them.
   * @throws {StartupError} If the PID file can't be had.
   */
  static prepare(
    options: DaemonOptions,
    { hasServiceManager }: { hasServiceManager: boolean },
  ): Daemon {
    const account = options.user === undefined && options.group === undefined
      ? nobodyElse
      : findAccount(options);
    if (options.umask !== undefined) Deno.umask(options.umask);
    return new Daemon(account, {
      dir: options.dir,
      pidFile: options.pidFile === undefined || hasServiceManager
        ? undefined
        : PidFile.claim(options.pidFile),
    });
  }

  /**
   * Does what comes after binding: becomes the user and changes into the
   * folder, which the user has to be allowed to.
   *
   * @throws {StartupError} If either fails.
   */
  settle(): void {
    this.#becomeUser?.();
    if (this.#dir === undefined) return;
    try {
      Deno.chdir(this.#dir);
    } catch (error) {
      const reason = error instanceof Deno.errors.NotFound
        ? "it doesn't exist"
        : error instanceof Deno.errors.PermissionDenied
        ? "permission denied"
        : (error as Error).message;
      throw new StartupError(
        `Cannot change into the folder "${this.#dir}": ${reason}`,
        { cause: error },
      );
    }
  }

  /** The PID file, if there is one. */
  get pidFile(): PidFile | undefined {
    return this.#pidFile;
  }

  [Symbol.dispose](): void {
    this.#pidFile?.[Symbol.dispose]();
  }
}

interface Account {
  readonly owner: Owner;
  readonly becomeUser: (() => void) | undefined;
}

const nobodyElse: Account = {
  owner: { uid: null, gid: null },
  becomeUser: undefined,
};

/** Finds out what the user and the group of `options` mean for this process. */
function findAccount({ user: name, group: groupName }: DaemonOptions): Account {
  using accounts = new Accounts();
  const user = name === undefined ? undefined : accounts.user(name);
  if (name !== undefined && user === undefined) {
    throw new ConfigError(`Cannot find the user "${name}" of [daemon]`, {
      hint: `create it: adduser --system --group ${name}`,
    });
  }
  const group = groupName === undefined ? user?.gid : accounts.group(groupName);
  if (groupName !== undefined && group === undefined) {
    throw new ConfigError(`Cannot find the group "${groupName}" of [daemon]`, {
      hint: `create it: addgroup --system ${groupName}`,
    });
  }
  const gid = group!;
  if (process.geteuid!() !== 0) {
    checkIsAlready({ user, gid, groupName });
    return {
      // Nothing to ask of the system where it is so already: a hardened unit
      // may forbid even that.
      owner: {
        uid: null,
        gid: groupName === undefined || gid === process.getegid!() ? null : gid,
      },
      becomeUser: undefined,
    };
  }
  return {
    owner: { uid: user?.uid ?? null, gid },
    becomeUser: () => become(user, gid),
  };
}

/** Checks that a process which isn't root is what it should be. */
function checkIsAlready(
  { user, gid, groupName }: {
    user: User | undefined;
    gid: number;
    groupName: string | undefined;
  },
): void {
  const uid = process.geteuid!();
  if (user !== undefined && user.uid !== uid) {
    throw new ConfigError(
      `Cannot become the user "${user.name}" of [daemon]: started as user id ${uid}, expected root or "${user.name}"`,
    );
  }
  const groups = [process.getegid!(), ...process.getgroups!().map(Number)];
  if (groupName !== undefined && !groups.includes(gid)) {
    throw new ConfigError(
      `Cannot become the group "${groupName}" of [daemon]: this process isn't in it, expected root or a member`,
    );
  }
}

/**
 * Makes this process `user`'s. The order matters: without its user id 0 it may
 * change neither its groups nor its group.
 */
function become(user: User | undefined, gid: number): void {
  if (user !== undefined) {
    using accounts = new Accounts();
    accounts.takeGroupsOf(user, gid);
  }
  process.setgid!(gid);
  if (user === undefined) return;
  process.setuid!(user.uid);
  const ids = [
    process.getuid!(),
    process.geteuid!(),
    process.getgid!(),
    process.getegid!(),
  ];
  if (
    String(ids) !== String([user.uid, user.uid, gid, gid]) ||
    (user.uid !== 0 && canReturn())
  ) {
    throw new StartupError(
      `Cannot become the user "${user.name}": the system keeps the rights of root`,
    );
  }
}

/** Tells whether this process can be root again. */
function canReturn(): boolean {
  for (const take of [() => process.setuid!(0), () => process.seteuid!(0)]) {
    try {
      take();
      return true;
    } catch {
      // As it should be.
    }
  }
  return false;
}
