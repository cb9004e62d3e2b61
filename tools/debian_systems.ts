/** The Debian systems that tests use beside this machine's own. Making one takes a minute, so there are as few as possible. */
import { debianSystem } from "./debootstrap.ts";
import { runOrThrow } from "./process.ts";

/** What a system needs to boot, and a frontend as Debian has it. */
const packages = ["dbus", "nginx", "procps", "systemd", "systemd-sysv"];

/** Not ours to test, and slow to start. */
const masked = [
  "apt-daily-upgrade.timer",
  "apt-daily.timer",
  "console-getty.service",
  "e2scrub_all.timer",
  "epmd.service",
  "epmd.socket",
  "rabbitmq-server.service",
  "systemd-logind.service",
];

/** Gets the top folder of a system of this machine's own release, which can boot. */
export function debian12(): Promise<string> {
  return debianSystem({ version: 3, packages, finish: settle });
}

/** Gets the top folder of a Debian 13 that can boot, and has RabbitMQ 4.0. */
export function debian13(): Promise<string> {
  return debianSystem({
    suite: "trixie",
    version: 2,
    packages: [...packages, "rabbitmq-server"],
    finish: async (root) => {
      await settle(root);
      await runOrThrow("rm", [
        "-rf",
        ...["var/lib/apt/lists", "usr/share/doc", "usr/share/locale"]
          .map((folder) => `${root}/${folder}`),
      ]);
    },
  });
}

async function settle(root: string): Promise<void> {
  await runOrThrow("chroot", [root, "systemctl", "mask", ...masked]);
  await runOrThrow("chroot", [root, "systemctl", "disable", "nginx.service"]);
}
