import assert from "node:assert/strict";
import { docFiles, withLinks } from "../../scripts/deb_docs.ts";
import { repository } from "../../tools/process.ts";
import { parsePage, resolveLink } from "../helpers/docs.ts";

Deno.test("docFiles() has all pages, and no link that leads out of the package", async () => {
  const files = await docFiles();
  const names = new Set(["copyright", ...files.map(({ name }) => name)]);
  for (const name of Deno.readDirSync(`${repository}/docs`)) {
    assert.ok(name.isDirectory || names.has(`docs/${name.name}`), name.name);
  }
  let count = 0;
  for (const { name, content } of files) {
    if (!name.endsWith(".md")) continue;
    const { links } = parsePage(name, new TextDecoder().decode(content));
    for (const { target } of links) {
      const resolved = resolveLink(name, target);
      if (resolved === undefined) continue;
      count++;
      assert.ok(names.has(resolved.path), `${name}: ${target}`);
    }
  }
  assert.ok(count > 100);
});

Deno.test("withLinks() keeps anchors and links to sites, and the words of links to nothing", () => {
  const text =
    "[a](b.md#c) [d](../nginx.conf.example) [e\nf](../src/x.ts) [g](https://h/) [i](#j)";
  assert.equal(
    withLinks(text, {
      page: "docs/a.md",
      placeOf: (target) =>
        ({
          "docs/b.md": "docs/b.md",
          "nginx.conf.example": "examples/nginx.conf.example",
        })[target],
    }),
    "[a](b.md#c) [d](../examples/nginx.conf.example) e\nf [g](https://h/) [i](#j)",
  );
});
