/** Files of other programs in YAML, read by Python's parser: we have none ourselves. */
import { ensurePackages } from "../../tools/packages.ts";
import { repository, runProgram } from "../../tools/process.ts";

/** Gets what is in a YAML file of the repository. Keys are text: `on` is `true` (YAML 1.1). */
// deno-lint-ignore no-explicit-any -- whatever is in there
export async function readYaml(path: string): Promise<any> {
  await ensurePackages(["python3-yaml"]);
  const { code, stdout, stderr } = await runProgram("python3", [
    "-c",
    "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)",
    `${repository}/${path}`,
  ]);
  if (code !== 0) throw new Error(`Cannot read ${path}:\n${stderr}`);
  return JSON.parse(stdout);
}
