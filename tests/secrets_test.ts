import assert from "node:assert/strict";
import { Secrets } from "./helpers/secrets.ts";

const secret = "k/9?%#é0123456789abcdef";

const secrets = new Secrets();
secrets.add("it", secret);

Deno.test("Secrets.find() finds a secret in every form", () => {
  const bytes = new TextEncoder().encode(secret);
  for (
    const text of [
      ...[secret, secret.toUpperCase(), [...secret].reverse().join("")],
      encodeURIComponent(secret),
      encodeURIComponent(secret).toLowerCase(),
      ...[JSON.stringify({ secret }), bytes.toHex()],
      ...[secret.slice(0, 15), secret.slice(3, 18), secret.slice(-15)],
    ]
  ) assert.notDeepEqual(secrets.find(`before ${text} after`), [], text);
  assert.notDeepEqual(secrets.find(bytes), []);
  for (const before of ["", "a", "ab", "abc"]) {
    for (const after of ["", "x", "xy"]) {
      const text = new TextEncoder().encode(before + secret + after);
      for (const alphabet of ["base64", "base64url"] as const) {
        const encoded = text.toBase64({ alphabet });
        assert.notDeepEqual(secrets.find(encoded), [], before + after);
      }
    }
  }
});

Deno.test("Secrets.find() finds nothing where nothing is", () => {
  assert.deepEqual(secrets.find("staps: listening, 0123456789 clients"), []);
  secrets.assertNone("", "nothing");
  assert.throws(() => secrets.assertNone(secret, "a log"), /a log tells/);
});
