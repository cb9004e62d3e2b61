/** More ways into a broker through TLS, with certificates that its own authority signed. */
import { dirname, relative } from "node:path";
import type { Broker } from "../../tools/broker.ts";
import { freePort } from "../../tools/folder.ts";

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

/** Makes a certificate for localhost alone; the broker has to have TLS. */
export async function makeCertificate(
  { tls: { authority } }: Broker,
  validity?: Validity,
): Promise<CertificateFiles> {
  const { certFile, keyFile } = await authority.certify({
    names: "DNS:localhost",
    ...validity && {
      from: asn1Time(validity.from),
      until: asn1Time(validity.until),
    },
  });
  return { cert: certFile, key: keyFile };
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
