/** nginx in front of other peers, and as a peer by itself with nchan in it. */
import { join } from "node:path";
import { freePort } from "../tools/folder.ts";
import { ensurePackages } from "../tools/packages.ts";
import type { Address } from "./load/libc.ts";
import type { Program } from "./peers.ts";

const nchanModule = "/usr/lib/nginx/modules/ngx_nchan_module.so";

/** Gets an nginx in front of the servers on `sockets`. */
export async function proxy(
  folder: string,
  sockets: readonly string[],
): Promise<Program> {
  const port = freePort();
  const command = await nginx(
    folder,
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
  );
  return { command, address: { port } };
}

/** Gets an nginx with nchan in it, on a unix socket or over TCP. */
export async function nchan(
  folder: string,
  transport: "unix" | "TCP",
): Promise<Program> {
  await ensurePackages(["libnginx-mod-nchan"]);
  const address: Address = transport === "unix"
    ? { unix: join(folder, "s") }
    : { port: freePort() };
  const listen = "unix" in address
    ? `unix:${address.unix}`
    : `127.0.0.1:${address.port}`;
  // Nothing for later: a newcomer gets what is published from now on. The
  // buffer is what a reader that falls behind a little can catch up with.
  const command = await nginx(
    folder,
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
    `load_module ${nchanModule};`,
  );
  return { command, address };
}

/** Gets the command of an nginx in the foreground, with nothing of the system's. */
async function nginx(
  folder: string,
  http: string,
  modules = "",
): Promise<string[]> {
  await ensurePackages(["nginx"]);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder}/${name};`);
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
  ${temporary.join(" ")}
  map $http_upgrade $connection_upgrade { default upgrade; '' close; }
${http}
}
`,
  );
  return ["/usr/sbin/nginx", "-p", folder, "-c", file];
}
