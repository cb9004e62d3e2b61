/** In processes of their own, because what is given up is gone. What a whole node may still do: e2e/service_test.ts. */
import assert from "node:assert/strict";
import { repository, runProgram } from "../../tools/process.ts";

const script = `
  import { keepOnly } from "${repository}/src/system/permissions.ts";
  const wide = await keepOnly({ read: ["/etc/hosts"], write: [], net: false });
  const asked = [
    { name: "read", path: "/etc/hosts" },
    { name: "read", path: "/etc/passwd" },
    { name: "write", path: "/etc/hosts" },
    { name: "net" },
    { name: "ffi" },
  ];
  const states = asked.map((one) => Deno.permissions.querySync(one).state);
  console.log(JSON.stringify({ wide, granted: states.map((state) => state === "granted") }));
`;

const cases = [
  {
    flags: ["--allow-read=/", "--allow-write=/", "--allow-net"],
    wide: [],
    granted: [true, false, false, false, false],
  },
  {
    flags: ["--allow-all"],
    wide: ["read", "write"],
    granted: [true, true, true, false, false],
  },
];
for (const { flags, wide, granted } of cases) {
  Deno.test(`keepOnly() keeps what it is told with ${flags.join(" ")}, and names what stays wide`, async () => {
    const { code, stdout, stderr } = await runProgram("bash", [
      "-c",
      'printf %s "$1" | "$0" run --no-lock --ext=js "${@:2}" -',
      Deno.execPath(),
      script,
      ...flags,
    ]);
    assert.equal(code, 0, stderr);
    assert.deepEqual(JSON.parse(stdout), { wide, granted });
  });
}
