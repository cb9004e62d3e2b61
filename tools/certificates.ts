/** Certificates for TLS servers of tests, made by openssl. */
import { TempFolder } from "./folder.ts";
import { ensurePackages } from "./packages.ts";
import { runOrThrow } from "./process.ts";

/** A certificate and its key: the names of two PEM files, and what is in them. */
export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: string;
  readonly key: string;
}

/** Any new key. */
const newKey = [
  ...["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
];

/** What openssl needs to know to sign. */
const config = `[ca]
default_ca = test
[test]
database = index
rand_serial = yes
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
default_md = sha256
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
`;

/** An authority of a test's own, and what it certifies. A folder of its own is removed on disposal. */
export class Authority implements AsyncDisposable {
  /** Where its files are. */
  readonly folder: TempFolder;
  readonly #ownsFolder: boolean;
  #count = 0;

  private constructor(folder: TempFolder, ownsFolder: boolean) {
    this.folder = folder;
    this.#ownsFolder = ownsFolder;
  }

  /** Makes one that calls itself "Test authority", with all files in `given`; by default in a folder of its own. */
  static async make(given?: TempFolder): Promise<Authority> {
    await ensurePackages(["openssl"]);
    const folder = given ?? await TempFolder.make();
    const authority = new Authority(folder, given === undefined);
    await Deno.writeTextFile(`${folder.path}/openssl.conf`, config);
    await Deno.writeTextFile(`${folder.path}/index`, "");
    await authority.#openssl(
      ...["req", "-x509", ...newKey, "-subj", "/CN=Test authority"],
      ...["-keyout", "ca.key", "-out", "ca.pem", "-days", "2"],
    );
    return authority;
  }

  /** The name of the PEM file with its own certificate. */
  get file(): string {
    return `${this.folder.path}/ca.pem`;
  }

  /**
   * Makes a certificate that it signs, by default a good one for localhost.
   * Names and times are written as openssl does.
   */
  async certify({
    names = "DNS:localhost,IP:127.0.0.1",
    from = "20200101000000Z",
    until = "20490101000000Z",
  } = {}): Promise<Certificate> {
    const name = `signed-${this.#count++}`;
    await this.#openssl(
      ...["req", ...newKey, "-subj", "/CN=staps", "-keyout", `${name}.key`],
      ...["-addext", `subjectAltName=${names}`, "-out", `${name}.request`],
    );
    await this.#openssl(
      ...["ca", "-batch", "-notext", "-config", "openssl.conf"],
      ...["-startdate", from, "-enddate", until],
      ...["-in", `${name}.request`, "-out", `${name}.pem`],
    );
    return await this.#read(name);
  }

  /** Makes a certificate for localhost that nobody signs but its own key. */
  async selfSigned(): Promise<Certificate> {
    const name = `own-${this.#count++}`;
    await this.#openssl(
      ...["req", "-x509", ...newKey, "-subj", "/CN=staps", "-days", "2"],
      ...["-addext", "subjectAltName=DNS:localhost"],
      ...["-keyout", `${name}.key`, "-out", `${name}.pem`],
    );
    return await this.#read(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ownsFolder) await this.folder[Symbol.asyncDispose]();
  }

  async #read(name: string): Promise<Certificate> {
    const certFile = `${this.folder.path}/${name}.pem`;
    const keyFile = `${this.folder.path}/${name}.key`;
    return {
      certFile,
      keyFile,
      cert: await Deno.readTextFile(certFile),
      key: await Deno.readTextFile(keyFile),
    };
  }

  async #openssl(...args: string[]): Promise<void> {
    await runOrThrow("openssl", args, { cwd: this.folder.path });
  }
}
