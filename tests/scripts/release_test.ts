/** The files of a release, and the workflow that makes them. */
import assert from "node:assert/strict";
import denoJson from "../../deno.json" with { type: "json" };
import { basename } from "node:path";
import { makeRelease, releaseNotes } from "../../scripts/release.ts";
import type { Sbom } from "../../scripts/sbom.ts";
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
  const deb = await builtPackage();
  const executable = `${name}-linux-${Deno.build.arch}`;
  const packageName = basename(deb);
  const materials = `${name}.cdx.json`;
  const files = ["RELEASE_NOTES.md", executable, materials, packageName];
  const names = await Array.fromAsync(Deno.readDir(output), ({ name }) => name);
  assert.deepEqual(names.sort(), ["SHA256SUMS", ...files].sort());
  const sums = await runProgram("sha256sum", ["--check", "SHA256SUMS"], {
    cwd: output,
  });
  assert.equal(sums.code, 0, sums.stderr);
  const checked = sums.stdout.trimEnd().split("\n");
  assert.deepEqual(checked.sort(), files.map((file) => `${file}: OK`).sort());
  // Made from the same source another time.
  const others = { [executable]: await builtExecutable(), [packageName]: deb };
  for (const [made, other] of Object.entries(others)) {
    const { stdout, stderr } = await runProgram("cmp", [
      `${output}/${made}`,
      other,
    ]);
    assert.equal(stdout + stderr, "");
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
  assert.deepEqual(
    Object.fromEntries(libraries.map(({ name, version, hashes }) => {
      const hash = Uint8Array.fromHex(hashes![0]!.content).toBase64();
      return [`${name}@${version}`, `sha512-${hash}`];
    })),
    Object.fromEntries(
      Object.entries(lock).map(([id, { integrity }]) => [id, integrity]),
    ),
  );
  // Those that packaging/copyright names, and no others.
  const required = libraries.filter(({ scope }) => scope === "required");
  assert.deepEqual(
    required.map(({ name }) => name).sort(),
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
  const { permissions, steps } = jobs[0]!;
  assert.deepEqual(permissions, { contents: "write" });
  for (const action of steps.flatMap(({ uses }) => uses ?? [])) {
    assert.match(action, /^[\w-]+\/[\w-]+@v\d+\.\d+\.\d+$/);
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
