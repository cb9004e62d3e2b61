/**
 * The permissions that staps is started with, as flags of the runtime. Once a
 * node serves it gives up most of them: `src/system/permissions.ts`.
 *
 * The configuration names the files, sockets and hosts, so they can't be listed
 * here. `/` instead of everything, because only that can be narrowed later.
 */
export const permissions: readonly string[] = [
  "--no-prompt",
  "--allow-read=/",
  "--allow-write=/",
  "--allow-net",
  "--allow-env",
  // Becoming the user of [daemon], and what it is at first.
  "--allow-sys",
  // initgroups(3), which the runtime lacks: src/system/accounts.ts.
  "--allow-ffi",
];
