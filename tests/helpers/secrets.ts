/** Looking for what must not be seen, in every form that it could have got into. */
import assert from "node:assert/strict";

/** Parts of a secret are secrets, too: so long, and one beginning at each so manieth character. */
const partLength = 12;
const partStep = 4;

/** Letters that nobody can have by accident. */
export function token(): string {
  return crypto.getRandomValues(new Uint8Array(15)).toHex();
}

/** Adds a password with everything in it that has a meaning in a URL or an INI file, and gets it. */
export function newPassword(secrets: Secrets): string {
  const tail = secrets.add("the password's end", token());
  return secrets.add("the password", `k/9?%#;&@:+ ~=[${tail}`);
}

/** Things that nobody may find. */
export class Secrets {
  /** Each form with its name. */
  readonly #forms: [name: string, text: string][] = [];

  /** Adds a secret, and gets it. It should be long and random: a part of it counts as well. */
  add(name: string, secret: string): string {
    for (const [form, text] of formsOf(secret)) {
      this.#forms.push([`${name} (${form})`, text]);
    }
    return secret;
  }

  /** Gets the names of the secrets in `where`, each with its form. */
  find(where: string | Uint8Array): string[] {
    const text = typeof where === "string" ? where : latin1.decode(where);
    const folded = text.toLowerCase();
    const found = this.#forms.filter(([name, form]) =>
      // Base64 in another letter case is something else.
      name.includes("base64")
        ? text.includes(form)
        : folded.includes(form.toLowerCase())
    );
    return found.map(([name]) => name);
  }

  /** Checks that there is none in `where`, which the failure calls `what`. */
  assertNone(where: string | Uint8Array, what: string): void {
    const found = this.find(where);
    assert.deepEqual(found, [], `${what} tells a secret: ${found.join(", ")}`);
  }
}

const latin1 = new TextDecoder("latin1");

function formsOf(secret: string): [form: string, text: string][] {
  const bytes = new TextEncoder().encode(secret);
  const hex = bytes.toHex();
  const forms: Record<string, string> = {
    "as it is": secret,
    // As one byte string is read as another encoding.
    "in UTF-8": latin1.decode(bytes),
    "in UTF-16": [...secret].join("\0"),
    "reversed": [...secret].reverse().join(""),
    "percent-encoded": encodeURIComponent(secret),
    "percent-encoded throughout": hex.replace(/../g, "%$&"),
    "as JSON": JSON.stringify(secret).slice(1, -1),
    "in hexadecimal": hex,
  };
  for (let offset = 0; offset < 3; offset++) {
    const text = base64Within(bytes, offset);
    forms[`in base64, ${offset} bytes in`] = text;
    forms[`in base64url, ${offset} bytes in`] = text
      .replaceAll("+", "-").replaceAll("/", "_");
  }
  for (let at = 0; at + partLength <= secret.length; at += partStep) {
    forms[`from character ${at} on`] = secret.slice(at, at + partLength);
  }
  return Object.entries(forms);
}

/** Gets what is sure to be in the base64 of a text that has `bytes` so many bytes after a multiple of three. */
function base64Within(bytes: Uint8Array, offset: number): string {
  const padded = new Uint8Array(offset + bytes.length);
  padded.set(bytes, offset);
  const text = padded.toBase64().replaceAll("=", "");
  // The first characters depend on what is before, the last one on what is behind.
  return text.slice(
    Math.ceil(offset * 4 / 3),
    padded.length % 3 ? -1 : undefined,
  );
}
