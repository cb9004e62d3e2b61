import assert from "node:assert/strict";
import { readPemFiles } from "../../src/amqp/pem.ts";
import { ConfigError } from "../../src/common/errors.ts";
import { TempFolder } from "../../tools/folder.ts";

const pem = (label: string): string =>
  `-----BEGIN ${label}-----\nAAAA\n-----END ${label}-----\n`;

Deno.test("readPemFiles() gets the contents of those that are named", async () => {
  await using folder = await TempFolder.make();
  assert.deepEqual(await readPemFiles({}), {});
  const cert = `${folder.path}/cert`;
  const key = `${folder.path}/key`;
  await Deno.writeTextFile(cert, pem("CERTIFICATE"));
  await Deno.writeTextFile(key, pem("EC PRIVATE KEY"));
  assert.deepEqual(await readPemFiles({ ca: undefined, cert, key }), {
    cert: pem("CERTIFICATE"),
    key: pem("EC PRIVATE KEY"),
  });
});

// TLS took a file with anything else in it for none.
Deno.test("readPemFiles() refuses what isn't there, or is something else", async () => {
  await using folder = await TempFolder.make();
  const refusal = async (name: string, text?: string): Promise<string> => {
    const file = `${folder.path}/${crypto.randomUUID()}`;
    if (text !== undefined) await Deno.writeTextFile(file, text);
    const error = await readPemFiles({ [name]: file }).then(
      () => assert.fail(`${name} was taken`),
      (error) => error,
    );
    assert.ok(error instanceof ConfigError, `${error}`);
    return error.message;
  };
  assert.match(
    await refusal("key"),
    /^Cannot read "key" in \[bridge\]: there is no file "/,
  );
  for (
    const [name, text, expected] of [
      ["ca", "", "a certificate in PEM"],
      ["cert", pem("PRIVATE KEY"), "a certificate in PEM"],
      ["key", pem("CERTIFICATE"), "a private key without a password in PEM"],
      [
        "key",
        pem("ENCRYPTED PRIVATE KEY"),
        "a private key without a password in PEM",
      ],
    ] as const
  ) {
    const message = await refusal(name, text);
    assert.ok(message.endsWith(`what is expected: ${expected}`), message);
  }
});
