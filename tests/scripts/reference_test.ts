import assert from "node:assert/strict";
import { madeFiles } from "../../scripts/reference.ts";

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
