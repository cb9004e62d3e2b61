/**
 * The licence texts that whoever hands on a built staps has to hand on with it:
 * its own, and those of what is built into it.
 */

const top = new URL("..", import.meta.url).pathname;

/** Between two texts. */
const line = `\n${"-".repeat(78)}\n\n`;

/** Packages of deno.json that only tests use. */
const testPackages = ["fast-check"];

/** Gets all texts, for `staps license`. @throws {Error} If a package has none. */
export async function notices(): Promise<string> {
  const own = await Deno.readTextFile(`${top}LICENSE`);
  const runtime = await Deno.readTextFile(
    `${top}packaging/runtime-notices.txt`,
  );
  const packages = await Promise.all((await bundledPackages()).map(noticeOf));
  return [
    `staps\n\n${own}`,
    ...packages,
    runtime.replaceAll("@DENO@", Deno.version.deno),
  ].join(line);
}

/** Gets the npm packages in a bundle, such as `ws@8.23.0`. None of them has dependencies. */
async function bundledPackages(): Promise<string[]> {
  const { imports } = JSON.parse(await Deno.readTextFile(`${top}deno.json`));
  return Object.entries<string>(imports)
    .filter(([name]) => !testPackages.includes(name))
    .map(([, specifier]) => specifier.replace("npm:", ""));
}

/** Gets a package's own licence files. */
async function noticeOf(name: string): Promise<string> {
  const folder = await folderOf(name);
  const texts = [];
  for (const entry of Array.from(Deno.readDirSync(folder)).sort(byName)) {
    if (!/^licen[sc]e/i.test(entry.name)) continue;
    texts.push(await Deno.readTextFile(`${folder}/${entry.name}`));
  }
  if (texts.length === 0) throw new Error(`${name} has no licence file`);
  return `${name}, from npm\n\n${texts.join("\n")}`;
}

function byName(a: Deno.DirEntry, b: Deno.DirEntry): number {
  return a.name < b.name ? -1 : 1;
}

/** Gets the folder in which the runtime keeps a package: it has one for each registry, and in that name and version. */
async function folderOf(name: string): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json"],
    cwd: top,
  }).output();
  const { npmCache } = JSON.parse(new TextDecoder().decode(stdout));
  for (const { name: registry } of Deno.readDirSync(npmCache)) {
    const folder = `${npmCache}/${registry}/${name.replace("@", "/")}`;
    const { isDirectory } = await Deno.stat(folder).catch(() => noFolder);
    if (isDirectory) return folder;
  }
  throw new Error(`Cannot find the package ${name} in ${npmCache}`);
}

const noFolder = { isDirectory: false };
