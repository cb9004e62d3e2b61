/**
 * What stands at the top of every frontend's example, done as it says with
 * Debian's own configuration around it: in a mount namespace in which /etc is a
 * copy, and everything is gone afterwards.
 */
import assert from "node:assert/strict";
import { TempFolder } from "../helpers/folder.ts";
import { ensurePackages } from "../helpers/packages.ts";
import { repository, runProgram } from "../helpers/process.ts";
import { testUnless } from "../helpers/skip.ts";

/** What comes before the commands: everything mounted is their own, and /mnt holds what they write. */
const ownEtc = `
  layer=/mnt
  mount -t tmpfs tmpfs $layer
  mkdir $layer/upper $layer/work
  mount -t overlay overlay -o lowerdir=/etc,upperdir=$layer/upper,workdir=$layer/work /etc
  mount -t tmpfs tmpfs /run
  # What this machine has of its own.
  rm -f /etc/nginx/conf.d/* /etc/nginx/sites-enabled/* /etc/apache2/sites-enabled/*
  mkdir -p /run/apache2 /run/haproxy /run/lock
  for folder in /var/log/nginx /var/log/apache2; do
    [ ! -d $folder ] || mount -t tmpfs tmpfs $folder
  done
`;

const { code, stderr } = await runProgram("unshare", [
  ...["--mount", "--propagation", "private", "sh", "-ec", ownEtc],
]);
const reason = code === 0
  ? undefined
  : `mounting isn't allowed here: ${stderr.trim().split("\n")[0]}`;

const examples = [
  {
    package: "nginx",
    file: "nginx.conf.example",
    user: "www-data",
    ending: "systemctl reload nginx",
  },
  {
    package: "apache2",
    file: "frontends/apache.conf.example",
    user: "www-data",
    ending: "systemctl restart apache2",
  },
  {
    package: "haproxy",
    file: "frontends/haproxy.cfg.example",
    // It gives up the groups of its user, and has the one in its file.
    user: undefined,
    ending: "systemctl restart haproxy",
  },
  {
    package: "caddy",
    file: "frontends/Caddyfile.example",
    user: "caddy",
    ending: "systemctl restart caddy",
  },
] as const;

for (const example of examples) {
  testUnless(reason, {
    name: `${example.file} is installed by the commands at its top`,
    async fn(): Promise<void> {
      await ensurePackages([example.package, "openssl"]);
      await using folder = await TempFolder.make();
      const text = await Deno.readTextFile(`${repository}/${example.file}`);
      const [, commands = ""] =
        /^# On Debian .*, as root:\n#\n((?:# {5}.*\n)+)#\n/m.exec(text) ?? [];
      assert.ok(commands.includes(example.ending));
      const name = example.file.split("/").at(-1)!;
      await Deno.writeTextFile(`${folder.path}/${name}`, text);
      // There is no systemd in here: what is told to it is the last thing that is done.
      await Deno.writeTextFile(
        `${folder.path}/systemctl`,
        '#!/bin/sh\necho "systemctl $*"\n',
        { mode: 0o755 },
      );
      const script = `${ownEtc}
        getent group staps > /dev/null || groupadd --system staps
        cd ${folder.path}
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \\
          -subj /CN=staps.example.org -keyout privkey.pem -out fullchain.pem
        certificates=/etc/letsencrypt/live/staps.example.org
        mkdir -p $certificates
        cp *.pem $certificates
        PATH=$PWD:$PATH
        ${commands.replaceAll(/^# {5}/gm, "")}
        ${example.user === undefined ? "echo staps" : `id -nG ${example.user}`}
      `;
      const { code, stdout, stderr } = await runProgram("unshare", [
        ...["--mount", "--propagation", "private", "sh", "-ec", script],
      ]);
      assert.equal(code, 0, stderr);
      const lines = stdout.trimEnd().split("\n");
      // "&&" ends with nothing said if the check before it fails.
      assert.equal(lines.at(-2), example.ending, stdout + stderr);
      assert.ok(lines.at(-1)!.split(" ").includes("staps"), lines.at(-1));
    },
  });
}
