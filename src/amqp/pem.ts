/** The PEM files that `[bridge]` names, read once at the start. */
import { ConfigError } from "../common/errors.ts";

/** The settings that name such a file. */
export interface PemFiles {
  /** The authorities to trust. */
  readonly ca?: string | undefined;
  /** This node's certificate, with those that lead to its authority. */
  readonly cert?: string | undefined;
  /** The key of `cert`, without a password. */
  readonly key?: string | undefined;
}

const certificate = {
  pattern: /^-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----$/m,
  expected: "a certificate",
};
const expectedIn = {
  ca: certificate,
  cert: certificate,
  key: {
    pattern: /^-----BEGIN (RSA |EC )?PRIVATE KEY-----$/m,
    expected: "a private key without a password",
  },
} as const;

/**
 * Gets the contents of the files that are named.
 *
 * @throws {ConfigError} If one can't be read, or has something else in it: TLS
 * would leave it out without a word.
 */
export async function readPemFiles(files: PemFiles): Promise<PemFiles> {
  const contents: Record<string, string> = {};
  for (const name of ["ca", "cert", "key"] as const) {
    const file = files[name];
    if (file === undefined) continue;
    const text = await readFile(name, file);
    const { pattern, expected } = expectedIn[name];
    if (!pattern.test(text)) {
      throw new ConfigError(
        `Cannot use "${name}" in [bridge]: the file "${file}" doesn't contain what is expected: ${expected} in PEM`,
      );
    }
    contents[name] = text;
  }
  return contents;
}

async function readFile(name: string, file: string): Promise<string> {
  try {
    return await Deno.readTextFile(file);
  } catch (error) {
    throw new ConfigError(
      `Cannot read "${name}" in [bridge]: ${
        error instanceof Deno.errors.NotFound
          ? `there is no file "${file}"`
          : `the file "${file}" can't be read`
      }`,
      { cause: error },
    );
  }
}
