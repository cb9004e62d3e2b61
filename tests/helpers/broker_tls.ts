/** More ways into a broker through TLS, with certificates that its own authority signed. */
import { dirname, relative } from "node:path";
import type { Broker } from "./broker.ts";
import { freePort } from "./folder.ts";
import { runProgram } from "./process.ts";

/** Two PEM files. */
export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

/** When a certificate is valid. */
export interface Validity {
  readonly from: Date;
  readonly until: Date;
}

const dayMs = 24 * 3600 * 1000;

/** Makes a certificate for localhost, in the folder of the broker, which has to have TLS. */
export async function makeCertificate(
  broker: Broker,
  { from, until }: Validity = {
    from: new Date(Date.now() - dayMs),
    until: new Date(Date.now() + dayMs),
  },
): Promise<CertificateFiles> {
  const folder = await Deno.makeTempDir({ dir: dirname(broker.tls.ca) });
  const openssl = async (...args: string[]): Promise<void> => {
    const { code, stderr } = await runProgram("openssl", args, { cwd: folder });
    if (code !== 0) throw new Error(`openssl ${args.join(" ")}: ${stderr}`);
  };
  await openssl(
    ..."req -subj /CN=localhost -newkey rsa:2048 -nodes".split(" "),
    ..."-keyout key -out request".split(" "),
  );
  await Deno.writeTextFile(`${folder}/index`, "");
  await Deno.writeTextFile(
    `${folder}/openssl.conf`,
    `[ca]
default_ca = test
[test]
database = ${folder}/index
rand_serial = yes
new_certs_dir = ${folder}
certificate = ${broker.tls.ca}
private_key = ${dirname(broker.tls.ca)}/ca.key
default_md = sha256
policy = any
[any]
commonName = supplied
[names]
subjectAltName = DNS:localhost
`,
  );
  await openssl(
    ..."ca -batch -notext -config openssl.conf -extensions names".split(" "),
    ...["-startdate", asn1Time(from), "-enddate", asn1Time(until)],
    ..."-in request -out cert".split(" "),
  );
  return { cert: `${folder}/cert`, key: `${folder}/key` };
}

function asn1Time(date: Date): string {
  return date.toISOString().replace(/[-:T]|\.\d+/g, "");
}

/** Makes the broker listen on another port, and gets that. `options` are Erlang's, after the files. */
export async function addTlsPort(
  broker: Broker,
  { cert, key }: CertificateFiles,
  options = "",
): Promise<number> {
  const port = freePort();
  // The broker may know its folder by another name.
  const inside = (file: string): string =>
    `filename:join(Folder, "${relative(dirname(broker.tls.ca), file)}")`;
  await broker.eval(
    `{ok, Own} = application:get_env(rabbit, ssl_options), ` +
      `Folder = filename:dirname(proplists:get_value(cacertfile, Own)), ` +
      `rabbit_networking:start_ssl_listener({"127.0.0.1", ${port}}, ` +
      `[{cacertfile, ${inside(broker.tls.ca)}}, {certfile, ${inside(cert)}}, ` +
      `{keyfile, ${inside(key)}}${options && `, ${options}`}], 1)`,
  );
  return port;
}
