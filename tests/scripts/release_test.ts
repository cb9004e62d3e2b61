/** The files of a release, and the workflow that makes them. */
import assert from "node:assert/strict";
import denoJson from "../../deno.json" with { type: "json" };
import { makeRelease, releaseNotes } from "../../scripts/release.ts";
import type { Component, Sbom } from "../../scripts/sbom.ts";
import { version } from "../../src/common/version.ts";
import { builtExecutable, builtPackage } from "../helpers/builds.ts";
import { block } from "../helpers/docs.ts";
import { TempFolder } from "../../tools/folder.ts";
import { repository, runProgram } from "../../tools/process.ts";
import { readYaml } from "../helpers/yaml.ts";

const changelog = `# Changes

## 1.1.0, not yet released

- [More](docs/more.md#all) of it.

## 1.0.0, 2026-01-31

- It is there.

## 0.9.0, 2026-01-01
`;

Deno.test("releaseNotes() gets a version's section, and refuses what can't be released", () => {
  const notes = (version: string, tag?: string): string =>
    releaseNotes(changelog, { version, tag });
  assert.equal(notes("1.0.0", "v1.0.0"), "- It is there.\n");
  // A rehearsal. Links to pages lead nowhere from there.
  assert.equal(notes("1.1.0"), "- More of it.\n");
  const cases = [
    ["1.1.0", "v1.1.0", /got the heading "1\.1\.0, not yet released"/],
    ["1.0.0", "v1.1.0", /deno\.json has version 1\.0\.0, expected the tag/],
    ["1.0.0", "1.0.0", /expected the tag "v1\.0\.0"/],
    ["0.9.0", undefined, /got no text under "## 0\.9\.0"/],
    ["1.0", undefined, /got no text under "## 1\.0"/],
  ] as const;
  for (const [version, tag, message] of cases) {
    assert.throws(() => notes(version, tag), { message });
  }
});

Deno.test("makeRelease() makes package, executable, materials, notes and checksums, the same ones each time", async () => {
  await using folder = await TempFolder.make();
  const output = `${folder.path}/release`;
  await makeRelease({ output, fast: true, selfExtracting: true });
  const name = `staps-${version}`;
  const executable = `${name}-linux-${Deno.build.arch}`;
  const sums = await Deno.readTextFile(`${output}/SHA256SUMS`);
  const files = sums.trimEnd().split("\n").map((line) => line.split("  ")[1]!);
  const names = await Array.fromAsync(Deno.readDir(output), ({ name }) => name);
  assert.deepEqual([...files, "SHA256SUMS"].sort(), names.sort());
  const deb = await builtPackage();
  const packageName = deb.slice(deb.lastIndexOf("/") + 1);
  const materials = `${name}.cdx.json`;
  const expected = ["RELEASE_NOTES.md", executable, materials, packageName];
  assert.deepEqual(files.toSorted(), expected.toSorted());
  const check = await runProgram("sha256sum", ["--check", "SHA256SUMS"], {
    cwd: output,
  });
  assert.equal(check.code, 0, check.stderr);
  // Made from the same source another time.
  const cases = [
    [executable, await builtExecutable()],
    [packageName, deb],
  ];
  for (const [made, other] of cases) {
    const same = await runProgram("cmp", [`${output}/${made}`, other!]);
    assert.equal(same.stdout + same.stderr, "");
  }
  checkSbom(
    JSON.parse(await Deno.readTextFile(`${output}/${materials}`)),
    JSON.parse(await Deno.readTextFile(`${repository}/deno.lock`)).npm,
  );
});

/** Checks what CycloneDX 1.5 requires (its JSON schema), and that the lock's packages are in there. */
function checkSbom(
  sbom: Sbom,
  lock: Record<string, { integrity: string }>,
): void {
  assert.equal(sbom.bomFormat, "CycloneDX");
  assert.equal(sbom.specVersion, "1.5");
  assert.match(sbom.metadata.timestamp, /^\d{4}-\d\d-\d\dT[\d:.]{12}Z$/);
  const all = [sbom.metadata.component, ...sbom.components];
  for (const component of all) {
    assert.ok(["application", "library", "platform"].includes(component.type));
    assert.ok(component.name && component.version);
    assert.match(component.purl, /^pkg:[a-z]+\/[^@\s]+@[^@\s]+$/);
    assert.equal(component.licenses.length, 1, component.name);
    for (const { alg, content } of component.hashes ?? []) {
      assert.match(content, alg === "SHA-512" ? /^[0-9a-f]{128}$/ : /^.{64}$/);
    }
  }
  const refs = all.map((component) => component["bom-ref"]);
  assert.equal(new Set(refs).size, refs.length, "each reference once");
  assert.deepEqual(sbom.dependencies.map(({ ref }) => ref).sort(), refs.sort());
  for (const { dependsOn } of sbom.dependencies) {
    for (const ref of dependsOn) assert.ok(refs.includes(ref), ref);
  }
  const libraries = sbom.components.filter(({ type }) => type === "library");
  const packages = libraries.map(({ name, version }) => `${name}@${version}`);
  assert.deepEqual(packages.sort(), Object.keys(lock).sort());
  const sri = ({ hashes }: Component): string =>
    `sha512-${Uint8Array.fromHex(hashes![0]!.content).toBase64()}`;
  for (const library of libraries) {
    const { name, version } = library;
    assert.equal(sri(library), lock[`${name}@${version}`]!.integrity);
  }
  // Those that packaging/copyright names, and no others.
  assert.deepEqual(
    libraries.filter(({ scope }) => scope === "required")
      .map(({ name }) => name).sort(),
    ["amqplib", "commander", "js-ini", "ws"],
  );
}

Deno.test("the workflow runs on tags, with pinned actions and few rights, and calls commands that exist", async () => {
  const workflow = await readYaml(".github/workflows/release.yml");
  assert.deepEqual(workflow.true, { push: { tags: ["v*"] } });
  assert.deepEqual(workflow.permissions, {});
  const jobs = Object.values(workflow.jobs) as {
    permissions: unknown;
    steps: { uses?: string; run?: string }[];
  }[];
  assert.equal(jobs.length, 1);
  const [{ permissions, steps }] = jobs as [typeof jobs[number]];
  assert.deepEqual(permissions, { contents: "write" });
  for (const { uses } of steps) {
    if (uses !== undefined) {
      assert.match(uses, /^[\w-]+\/[\w-]+@v\d+\.\d+\.\d+$/);
    }
  }
  const [make, publish, ...others] = steps.flatMap(({ run }) => run ?? []);
  assert.deepEqual(others, []);
  const rehearse = await block("CONTRIBUTING.md", "rehearse");
  assert.equal(make, `${rehearse.trim()} --tag "$GITHUB_REF_NAME"`);
  assert.ok(
    rehearse.startsWith(`npx --yes deno@${Deno.version.deno} task release`),
  );
  assert.match(denoJson.tasks.release.command, / scripts\/release\.ts$/);
  // It publishes all of the folder that the script fills unless told otherwise.
  assert.match(publish!, /^gh release create .* dist\/release\/\*$/);
  const tag = await block("CONTRIBUTING.md", "tag");
  assert.deepEqual([...new Set(tag.match(/\bv[\d.]+\d/g))].length, 1);
});
