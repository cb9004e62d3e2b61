import assert from "node:assert/strict";
import { Secrets } from "./helpers/secrets.ts";

const secret = "k/9?%#é0123456789abcdef";

Deno.test("Secrets.find() finds a secret in every form", () => {
  const secrets = new Secrets();
  secrets.add("it", secret);
  const bytes = new TextEncoder().encode(secret);
  const reversed = [...secret].reverse().join("");
  for (
    const text of [
      secret,
      secret.toUpperCase(),
      reversed,
      encodeURIComponent(secret),
      encodeURIComponent(secret).toLowerCase(),
      JSON.stringify({ secret }),
      bytes.toHex(),
      secret.slice(0, 15),
      secret.slice(3, 18),
      secret.slice(-15),
    ]
  ) assert.notDeepEqual(secrets.find(`before ${text} after`), [], text);
  assert.notDeepEqual(secrets.find(bytes), []);
  for (const before of ["", "a", "ab", "abc"]) {
    for (const after of ["", "x", "xy"]) {
      const text = new TextEncoder().encode(before + secret + after);
      assert.notDeepEqual(secrets.find(text.toBase64()), [], before + after);
      assert.notDeepEqual(
        secrets.find(text.toBase64({ alphabet: "base64url" })),
        [],
      );
    }
  }
});

Deno.test("Secrets.find() finds nothing where nothing is", () => {
  const secrets = new Secrets();
  secrets.add("it", secret);
  assert.deepEqual(secrets.find("staps: listening, 0123456789 clients"), []);
  secrets.assertNone("", "nothing");
  assert.throws(() => secrets.assertNone(secret, "a log"), /a log tells/);
});
