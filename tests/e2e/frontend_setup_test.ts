/**
 * What stands at the top of every frontend's example, done as it says with
 * Debian's own configuration around it, and what docs/frontends.md says about
 * the machine: in namespaces in which /etc is a copy, and everything is gone
 * afterwards.
 */
import assert from "node:assert/strict";
import { basename } from "node:path/posix";
import { block } from "../helpers/docs.ts";
import { TempFolder } from "../../tools/folder.ts";
import { type FrontendName, frontends } from "../helpers/frontends.ts";
import { ensurePackages } from "../../tools/packages.ts";
import { Process, repository, runProgram } from "../../tools/process.ts";
import { RestartableStaps } from "../helpers/restartable_staps.ts";
import { Shells } from "../helpers/shells.ts";
import { testUnless } from "../helpers/skip.ts";

/** A machine of its own: its processes end with the first one, and it has only a loopback interface. */
const ownMachine = [
  ...["--mount", "--propagation", "private", "--net"],
  ...["--pid", "--fork", "--kill-child"],
];

/** What comes before the commands: everything mounted is their own, and /mnt holds what they write. */
const ownEtc = `
  layer=/mnt
  mount -t tmpfs tmpfs $layer
  mkdir $layer/upper $layer/work
  mount -t overlay overlay -o lowerdir=/etc,upperdir=$layer/upper,workdir=$layer/work /etc
  mount -t tmpfs tmpfs /run
  mkdir -p /run/apache2 /run/haproxy /run/lock
  for folder in /var/log/nginx /var/log/apache2 /var/lib/apache2; do
    [ ! -d $folder ] || mount -t tmpfs tmpfs $folder
  done
  # As Debian's packages leave them, whatever this machine has.
  for enabled in nginx/sites-enabled/default apache2/sites-enabled/000-default.conf; do
    rm -f /etc/nginx/conf.d/* /etc/\${enabled%/*}/*
    [ ! -d /etc/\${enabled%/*} ] ||
      ln -s ../sites-available/\${enabled##*/} /etc/$enabled
  done
`;

/** Runs a script in {@linkcode ownMachine}, and gets what it printed. @throws {Error} If it fails. */
async function onOwnMachine(script: string): Promise<string> {
  const args = [...ownMachine, "sh", "-ec", script];
  const options = { timeoutMs: 90_000 };
  const { code, stdout, stderr } = await runProgram("unshare", args, options);
  assert.equal(code, 0, stdout + stderr);
  return stdout;
}

const reason = await onOwnMachine(ownEtc).then(
  () => undefined,
  ({ message }) => `no namespaces here: ${message.trim().split("\n")[0]}`,
);

/** A UUID that is in all requests, and may be in no log. */
const secret = crypto.randomUUID();

/** Sends every odd request to every port, with and without TLS; each log has then seen the secret. */
const oddRequests = `
import socket, ssl, sys
path = "/" + sys.argv[1]
long = "x" * 70000
requests = [
  f"GET {path} HTTP/1.1\\r\\nHost: staps.example.org\\r\\nReferer: http://a{path}",
  f"GET {path}/x HTTP/1.1\\r\\nHost: staps.example.org",
  f"GET {path} HTTP/1.1\\r\\nHost: a\\r\\nHost: b",
  f"GET {path} HTTP/1.1\\r\\nHost: a/b",
  f"GET {path} HTTP/1.1\\r\\nHost: another.example",
  f"GET {path} HTTP/1.1",
  f"GET {path} HTTP/1.0",
  f"GET {path} HTTP/9.1\\r\\nHost: a",
  f"GET {path}",
  f"{path}",
  f"GET http://another.example{path} HTTP/1.1\\r\\nHost: a",
  f"CONNECT {path} HTTP/1.1\\r\\nHost: a",
  f"BREW {path} HTTP/1.1\\r\\nHost: a",
  f"G\\1T {path} HTTP/1.1\\r\\nHost: a",
  f"GET {path} x HTTP/1.1\\r\\nHost: a",
  f"GET {path}\\xff HTTP/1.1\\r\\nHost: a",
  f"GET {path}%2f.. HTTP/1.1\\r\\nHost: a",
  f"GET {path} HTTP/1.1\\r\\nHost: a\\r\\nBad: x\\0y",
  f"POST {path} HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: {path}",
  f"GET {path}/../.htaccess HTTP/1.1\\r\\nHost: a",
  f"GET {path}%zz HTTP/1.1\\r\\nHost: a",
  f"GET {path}%00 HTTP/1.1\\r\\nHost: a",
  f"GET {path}\\0 HTTP/1.1\\r\\nHost: a",
  f"GET {path}?{long} HTTP/1.1\\r\\nHost: a",
  f"GET /x HTTP/1.1\\r\\nHost: a\\r\\n{path}",
  f"GET /x HTTP/1.1\\r\\nHost: a\\r\\nX: {path}{long}",
]
context = ssl._create_unverified_context()
for port in 80, 443:
  for name in None, "staps.example.org", "another.example", "plain":
    for request in requests:
      try:
        with socket.create_connection(("127.0.0.1", port), 1) as client:
          if name != "plain":
            client = context.wrap_socket(client, server_hostname=name)
          client.sendall(request.encode() + b"\\r\\n\\r\\n")
          if client.recv(99)[9:10] == b"3":
            print("redirected")
      except OSError:
        pass
`;

/** How each server is started where there is no systemd, and the user who gets into the group. */
const setups: Readonly<Record<FrontendName, { user?: string; start: string }>> =
  {
    nginx: { user: "www-data", start: "nginx" },
    apache: { user: "www-data", start: "apachectl start" },
    haproxy: {
      // It gives up the groups of its user, and has the one in its file.
      start: `
      # So many descriptors may not be had here.
      sed -i 's,maxconn 20000,maxconn 1000,; s,log /dev/log,log stderr format raw,' \\
        /etc/haproxy/haproxy.cfg
      haproxy -f /etc/haproxy/haproxy.cfg 2> own.log &`,
    },
    caddy: {
      user: "caddy",
      // No authority can be asked for a certificate in here.
      start: `
      sed -i "s,^staps.example.org {,&\\n tls $PWD/fullchain.pem $PWD/privkey.pem," \\
        /etc/caddy/Caddyfile
      HOME=/run caddy run --config /etc/caddy/Caddyfile 2> own.log &`,
    },
  };

for (
  const [key, { example: file, package: server }] of Object.entries(frontends)
) {
  const { user, start } = setups[key as FrontendName];
  testUnless(reason, {
    name:
      `${file} is installed by the commands at its top, and then no path gets into a log`,
    async fn(): Promise<void> {
      await ensurePackages([server, "openssl", "iproute2", "python3-requests"]);
      // There is no systemd in here: what is told to it is the last thing that is done.
      const ending = `systemctl ${
        server === "nginx" ? "reload" : "restart"
      } ${server}`;
      await using shells = await Shells.make({
        systemctl: 'echo "systemctl $*"',
      });
      const { folder } = shells;
      const text = await Deno.readTextFile(`${repository}/${file}`);
      const [, commands = ""] =
        /^# On Debian .*, as root:\n#\n((?:# {5}.*\n)+)#\n/m.exec(text) ?? [];
      assert.ok(commands.includes(ending));
      await Deno.writeTextFile(`${folder.path}/${basename(file)}`, text);
      await Deno.writeTextFile(`${folder.path}/odd.py`, oddRequests);
      const stdout = await onOwnMachine(`${ownEtc}
        ip link set lo up
        getent group staps > /dev/null || groupadd --system staps
        cd ${folder.path}
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \\
          -subj /CN=staps.example.org -keyout privkey.pem -out fullchain.pem
        certificates=/etc/letsencrypt/live/staps.example.org
        mkdir -p $certificates
        cp *.pem $certificates
        PATH=$PWD:$PATH
        ${commands.replaceAll(/^# {5}/gm, "")}
        ${user === undefined ? "echo staps" : `id -nG ${user}`}
        ${start}
        for try in $(seq 100); do
          ss -ltn | grep -qE ':(80|443) ' && break
          sleep 0.1
        done
        /usr/bin/python3 odd.py ${secret}
        sleep 1
        echo logs:
        find . /var/log/nginx /var/log/apache2 -name '*.log' -exec cat {} +
      `);
      const [before = "", logs = ""] = stdout.split("\nlogs:\n");
      // WebSocket clients don't follow.
      assert.doesNotMatch(before, /^redirected$/m);
      const lines = before.split("\n");
      // "&&" ends with nothing said if the check before it fails.
      assert.equal(lines.at(-2), ending, stdout);
      assert.ok(lines.at(-1)!.split(" ").includes("staps"), lines.at(-1));
      assert.match(logs, /\b404\b/);
      assert.ok(!logs.includes(secret), logs.replaceAll(/x{99,}/g, "x"));
    },
  });
}

/** Connects from the addresses in its arguments one after the other, and prints from which it could. */
const connecting = `
import socket, sys
server = socket.create_server(("::", 443), family=socket.AF_INET6, dualstack_ipv6=True)
clients = []
accepted = []
for address in sys.argv[1:]:
  to = "::1" if ":" in address else "127.0.0.1"
  try:
    clients.append(socket.create_connection((to, 443), 5, (address, 0)))
    accepted.append(server.accept()[0])
    print("open")
  except ConnectionRefusedError:
    print("refused")
clients[0].close()
accepted[0].close()
while True:
  try:
    socket.create_connection(("127.0.0.1", 443), 5, (sys.argv[1], 0))
    break
  except ConnectionRefusedError:
    pass
print("open again")
`;

testUnless(reason, {
  name:
    "docs/frontends.md: nftables limits connections per IPv4 address and per /64",
  async fn(): Promise<void> {
    await ensurePackages(["nftables", "iproute2", "python3-requests"]);
    await using folder = await TempFolder.make();
    const file = `${folder.path}/nftables.conf`;
    const rules = await block("docs/frontends.md", "nftables");
    assert.match(rules, /over 1000/);
    await Deno.writeTextFile(file, rules.replaceAll("over 1000", "over 2"));
    await Deno.writeTextFile(`${folder.path}/connecting.py`, connecting);
    const expected = [
      ["127.0.0.1", "open"],
      ["127.0.0.1", "open"],
      ["127.0.0.1", "refused"],
      ["127.0.0.2", "open"],
      ["2001:db8:0:1::1", "open"],
      ["2001:db8:0:1::2", "open"],
      ["2001:db8:0:1:f::3", "refused"],
      ["2001:db8:0:2::1", "open"],
    ] as const;
    const addresses = expected.map(([address]) => address);
    const stdout = await onOwnMachine(`
      ip link set lo up
      for address in ${[...new Set(addresses)].join(" ")}; do
        case $address in *:*) ip address add $address/128 dev lo; esac
      done
      # Twice, as after a change.
      nft -f ${file}
      nft -f ${file}
      /usr/bin/python3 ${folder.path}/connecting.py ${addresses.join(" ")}
    `);
    const outcomes = expected.map(([, outcome]) => outcome);
    assert.deepEqual(stdout.trimEnd().split("\n"), [...outcomes, "open again"]);
  },
});

testUnless(reason, {
  name:
    "docs/frontends.md: a bind mount of the folder outlives a restart of staps, one of the socket doesn't",
  async fn(): Promise<void> {
    await ensurePackages(["curl"]);
    await using folder = await TempFolder.make();
    await using staps = await RestartableStaps.start(folder.path, {
      name: "staps",
    });
    // It looks through both mounts each time it is told to.
    const script = `
      mount -t tmpfs tmpfs /mnt
      mkdir /mnt/folder
      touch /mnt/socket
      mount --bind ${folder.path} /mnt/folder
      mount --bind ${folder.path}/staps.sock /mnt/socket
      while read -r line; do
        for socket in /mnt/folder/staps.sock /mnt/socket; do
          curl -s -o /dev/null -w '%{http_code} ' --unix-socket $socket http://localhost/ || true
        done
        echo $line
      done`;
    await using container = new Process("unshare", [
      ...["--mount", "--propagation", "private", "sh", "-ec", script],
    ], { stdin: "piped" });
    await container.write("before\n");
    await container.printed(/^200 200 before$/m);
    await staps.stop();
    await staps.start();
    await container.write("after\n");
    await container.printed(/^200 000 after$/m);
    await container.endInput();
  },
});
