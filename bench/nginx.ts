/** nginx in front of other peers, and as a peer by itself with nchan in it. */
import { join } from "node:path";
import { ensurePackages } from "../tools/packages.ts";
import type { Address } from "./load/libc.ts";
import type { PeerContext } from "./peers.ts";
import { running, type RunningPeer, Server } from "./server.ts";

const nchanModule = "/usr/lib/nginx/modules/ngx_nchan_module.so";

/** Starts `processes` servers behind an nginx. */
export async function startBehindNginx(
  { generator, folder }: PeerContext,
  { command, processes = 1 }: {
    command: (socket: string, folder: string) => string[];
    processes?: number;
  },
): Promise<RunningPeer> {
  await using stack = new AsyncDisposableStack();
  const servers: Server[] = [];
  const sockets: string[] = [];
  for (let i = 0; i < processes; i++) {
    const own = join(folder, `${i}`);
    await Deno.mkdir(own);
    const socket = join(own, "s");
    const server = stack.use(new Server(command(socket, own), own));
    await server.ready(generator, { unix: socket });
    servers.push(server);
    sockets.push(socket);
  }
  const port = freePort();
  servers.push(stack.use(
    await startNginx(
      `
  upstream staps {
    ${sockets.length > 1 ? "hash $uri consistent;" : ""}
    ${sockets.map((socket) => `server unix:${socket};`).join(" ")}
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://staps;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header Host $host;
    }
  }`,
      { folder },
    ),
  ));
  const peer = await running(servers, { address: { port }, generator });
  stack.move();
  return peer;
}

/** Starts nginx with nchan in it, on a unix socket or over TCP. */
export async function startNchan(
  { generator, folder }: PeerContext,
  transport: "unix" | "TCP",
): Promise<RunningPeer> {
  await ensurePackages(["libnginx-mod-nchan"]);
  const port = freePort();
  const socket = join(folder, "s");
  const address: Address = transport === "unix" ? { unix: socket } : { port };
  const listen = transport === "unix" ? `unix:${socket}` : `127.0.0.1:${port}`;
  // Nothing for later: a newcomer gets what is published from now on. The
  // buffer is what a reader that falls behind a little can catch up with.
  const server = await startNginx(
    `
  nchan_shared_memory_size 512M;
  server {
    listen ${listen} backlog=4096;
    location ~ ^/([-0-9a-f]+)$ {
      nchan_pubsub websocket;
      nchan_channel_id $1;
      nchan_subscriber_first_message newest;
      nchan_message_buffer_length 100;
      nchan_message_timeout 10s;
    }
  }`,
    { folder, modules: `load_module ${nchanModule};` },
  );
  return running([server], { address, generator });
}

/** Starts nginx in the foreground, with nothing of the system's. */
async function startNginx(
  http: string,
  { folder, modules = "" }: { folder: string; modules?: string },
): Promise<Server> {
  await ensurePackages(["nginx"]);
  const file = join(folder, "nginx.conf");
  await Deno.writeTextFile(
    file,
    `${modules}
daemon off;
${Deno.uid() === 0 ? "user root;" : ""}
# With more of them, how the kernel spreads connections over them changes the
# cost from run to run.
worker_processes 1;
worker_rlimit_nofile 65536;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections 32768; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  map $http_upgrade $connection_upgrade { default upgrade; '' close; }
${http}
}
`,
  );
  return new Server(["/usr/sbin/nginx", "-p", folder, "-c", file], folder);
}

/** Gets a port that nobody listens on at the moment. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
