import assert from "node:assert/strict";
import { madeFiles } from "../../scripts/reference.ts";
import { loadText } from "../helpers/config.ts";

const root = new URL("../../", import.meta.url);

Deno.test("staps.conf.example and the references in the pages are those of the tables", async () => {
  for (const [path, text] of await madeFiles(root)) {
    assert.equal(
      await Deno.readTextFile(new URL(path, root)),
      text,
      `${path} is out of date: run deno task reference`,
    );
  }
});

Deno.test("staps.conf.example turns the admin socket on, and changes no other default", async () => {
  const text = await Deno.readTextFile(new URL("staps.conf.example", root));
  const { config, origins } = loadText(text);
  assert.deepEqual([...origins.keys()], ["admin.socket"]);
  // Where the units and the pages look for it.
  assert.equal(config.admin.socket, "/run/staps/admin.sock");
});
