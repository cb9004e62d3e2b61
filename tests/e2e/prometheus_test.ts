/** The files in monitoring/, with Debian's real nginx and Prometheus. */
import assert from "node:assert/strict";
import { figures } from "../../src/admin/figures.ts";
import { Admin } from "../../src/admin/server.ts";
import { block, readPage } from "../helpers/docs.ts";
import { eventually, pause } from "../../tools/eventually.ts";
import { freePort, TempFolder } from "../../tools/folder.ts";
import {
  frontendGroup,
  mainConfig,
  Nginx,
  replaceOnce,
} from "../helpers/nginx.ts";
import { ensurePackages } from "../../tools/packages.ts";
import { Process, repository, runProgram } from "../../tools/process.ts";
import { startServer, type TestServer } from "../helpers/server.ts";
import { StubBridge } from "../helpers/stub_bridge.ts";

Deno.test.beforeAll(() => ensurePackages(["nginx", "prometheus"]));

function shipped(name: string): Promise<string> {
  return Deno.readTextFile(`${repository}/monitoring/${name}`);
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { x: number; y: number; w: number; h: number };
  readonly targets?: readonly { readonly expr: string }[];
}

const { panels }: { panels: Panel[] } = JSON.parse(
  await shipped("grafana-dashboard.json"),
);

/** What Prometheus is to be asked for the panels, with Grafana's variables filled in. */
const queries = panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr }) => ({
    title,
    query: expr.replaceAll("$__rate_interval", "10s")
      .replaceAll(/\$(job|instance)/g, ".*"),
  }))
);

/** Gets the metrics that `text` names. */
function metricsIn(text: string): string[] {
  return [...new Set(text.match(/\b(staps|process)_[a-z_]+\b/g) ?? [])];
}

/** Every name of a sample in /metrics. */
const sampleNames = new Set(
  figures.flatMap(({ name, type }) =>
    type === "histogram"
      ? [`${name}_bucket`, `${name}_sum`, `${name}_count`]
      : [name]
  ),
);

Deno.test("alerts name metrics that exist, and the dashboard shows every one but the version", async () => {
  const used = metricsIn(await shipped("alerts.yml"));
  assert.ok(used.length > 5);
  assert.deepEqual(used.filter((name) => !sampleNames.has(name)), []);
  const shown = queries.flatMap(({ query }) => metricsIn(query))
    .map((name) => name.replace(/_(bucket|sum|count)$/, ""));
  const missing = figures.map(({ name }) => name)
    .filter((name) => !shown.includes(name));
  assert.deepEqual(missing, ["staps_build_info"]);
});

Deno.test("the dashboard's panels are told apart, explained, and don't overlap", () => {
  const taken = new Set<string>();
  for (const { title, type, description, gridPos: { x, y, w, h } } of panels) {
    assert.ok(type === "row" || description, title);
    for (let column = x; column < x + w; column++) {
      for (let row = y; row < y + h; row++) {
        assert.ok(!taken.has(`${column}/${row}`), `${title} overlaps`);
        taken.add(`${column}/${row}`);
      }
    }
  }
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
});

Deno.test("alerts fire when they should, and not before", async () => {
  const series = {
    ready: "1x8 0x20 1x20",
    clients: "95x60",
    clients_limit: "100x60",
    bridge_gaps_total: "0x10 1x50",
  };
  const [critical, warning] = ["critical", "warning"];
  const lost =
    "Messages between nodes were lost, or may have been; the clients concerned were closed";
  const nearLimit = "staps at n has 95% of the clients that it may have";
  const notReady = "staps at n isn't ready: /readyz says why";
  // Those without a severity don't fire at that time.
  const expected = [
    ["StapsNotReady", "2m30s"],
    ["StapsNotReady", "4m", critical, notReady],
    ["StapsNotReady", "9m"],
    ["StapsClientsNearLimit", "4m"],
    ["StapsClientsNearLimit", "6m", warning, nearLimit],
    ["StapsMessagesLost", "4m", warning, lost],
  ];
  const test = {
    rule_files: [`${repository}/monitoring/alerts.yml`],
    evaluation_interval: "15s",
    tests: [{
      interval: "15s",
      input_series: Object.entries(series).map(([name, values]) => ({
        series: `staps_${name}{job="staps",instance="n"}`,
        values,
      })),
      alert_rule_test: expected.map((row) => {
        const [alertname, eval_time, severity, summary] = row;
        const alert = {
          exp_labels: { severity, job: "staps", instance: "n" },
          exp_annotations: { summary },
        };
        const exp_alerts = severity === undefined ? [] : [alert];
        return { alertname, eval_time, exp_alerts };
      }),
    }],
  };
  await using folder = await TempFolder.make();
  const file = `${folder.path}/test.yml`;
  // JSON is YAML.
  await Deno.writeTextFile(file, JSON.stringify(test));
  const outcome = await runProgram("promtool", ["test", "rules", file]);
  assert.equal(outcome.code, 0, outcome.stdout + outcome.stderr);
});

/** What Prometheus answers, as far as it is looked at here. */
interface Answer {
  readonly result: {
    readonly metric: Record<string, string>;
    readonly value: [number, string];
  }[];
  readonly groups: { readonly rules: { name: string; health: string }[] }[];
}

/** A real Prometheus that scrapes each second what `monitoring/prometheus.yml` says. */
class Prometheus extends Process {
  constructor(folder: string, readonly port: number) {
    super("prometheus", [
      `--config.file=${folder}/prometheus.yml`,
      `--storage.tsdb.path=${folder}/data`,
      `--web.listen-address=127.0.0.1:${port}`,
      "--log.level=warn",
    ]);
  }

  async get(path: string): Promise<Answer> {
    const answer = await fetch(`http://127.0.0.1:${this.port}/api/v1/${path}`);
    const { data, error } = await answer.json();
    assert.equal(error, undefined);
    return data;
  }

  async query(query: string): Promise<Answer["result"]> {
    return (await this.get(`query?query=${encodeURIComponent(query)}`)).result;
  }
}

/** Lets a client come and talk five times a second: figures per second need something that goes on. */
async function makeTraffic(
  { connect }: TestServer,
  signal: AbortSignal,
): Promise<void> {
  const path = `/${crypto.randomUUID()}`;
  const sender = await connect(path);
  await connect(path);
  while (!signal.aborted) {
    sender.send("x");
    (await connect(path)).close(1000);
    await pause(200);
  }
}

Deno.test("Prometheus scrapes staps through nginx, and the dashboard's queries return data", async (t) => {
  await using stack = new AsyncDisposableStack();
  const bridge = new StubBridge();
  const testServer = stack.use(await startServer({ bridge }));
  const { server } = testServer;
  const socket = `${testServer.socket}.admin`;
  // Group and mode are what check and the frontend's tests are about.
  stack.use(await Admin.start({ socket, mode: 0o666, server, bridge }));

  const [nginxPort, prometheusPort] = [freePort(), freePort()];
  const nginxFolder = await TempFolder.make();
  const { path: folder } = stack.use(await TempFolder.make());
  const site = (await shipped("nginx.conf"))
    .replaceAll("/run/staps/admin.sock", socket);
  const scrape = await shipped("prometheus.yml");
  const files = {
    [`${nginxFolder.path}/site.conf`]: replaceOnce(site, [
      ["listen 127.0.0.1:9464", `listen 127.0.0.1:${nginxPort}`],
    ]),
    [`${nginxFolder.path}/nginx.conf`]: mainConfig(
      nginxFolder.path,
      frontendGroup,
    ),
    [`${folder}/prometheus.yml`]:
      "global: {scrape_interval: 1s, evaluation_interval: 1s}\n" +
      `rule_files: [${repository}/monitoring/alerts.yml]\nscrape_configs:\n` +
      replaceOnce(scrape, [["127.0.0.1:9464", `127.0.0.1:${nginxPort}`]]),
  };
  for (const [file, text] of Object.entries(files)) {
    await Deno.writeTextFile(file, text);
  }
  stack.use(new Nginx(nginxFolder, nginxPort));
  const prometheus = stack.use(new Prometheus(folder, prometheusPort));
  const over = new AbortController();
  const traffic = makeTraffic(testServer, over.signal);
  stack.defer(() => {
    over.abort();
    return traffic;
  });

  await t.step("the target is up", async () => {
    await eventually(async () => {
      // Nothing answers at first.
      const [up] = await prometheus.query('up{job="staps"}').catch(() => []);
      return up?.value[1] === "1";
    }, () => `a scrape, got:\n${prometheus.output}`);
  });
  await t.step("every metric is there", async () => {
    for (const name of sampleNames) {
      const [first] = await prometheus.query(name);
      assert.equal(first?.metric.job, "staps", name);
    }
  });
  await t.step("every query of the dashboard returns data", async () => {
    for (const { title, query } of queries) {
      await eventually(async () => {
        const result = await prometheus.query(query);
        return result.some(({ value }) => value[1] !== "NaN");
      }, `data for "${title}": ${query}`);
    }
  });
  await t.step("every alert can be evaluated", async () => {
    let wrong: unknown[] = [];
    await eventually(async () => {
      const { groups } = await prometheus.get("rules");
      const all = groups.flatMap(({ rules }) => rules);
      wrong = all.filter(({ health }) => health !== "ok");
      return all.length > 10 && wrong.length === 0;
    }, () => `health of ${JSON.stringify(wrong)}`);
  });
  await t.step("nginx lets nothing else through", async () => {
    const pages = ["/metrics", "/readyz", "/status", "/"];
    const statuses = pages.map(async (page) => {
      const answer = await fetch(`http://127.0.0.1:${nginxPort}${page}`);
      await answer.body?.cancel();
      return answer.status;
    });
    assert.deepEqual(await Promise.all(statuses), [200, 200, 404, 404]);
  });
});

Deno.test("docs/watch.md adds to Debian's Prometheus what promtool accepts, and explains each alert and where it comes from", async () => {
  await using folder = await TempFolder.make();
  for (const name of ["nginx/conf.d", "prometheus"]) {
    await Deno.mkdir(`${folder.path}/etc/${name}`, { recursive: true });
  }
  const file = `${folder.path}/etc/prometheus/prometheus.yml`;
  await Deno.copyFile("/etc/prometheus/prometheus.yml", file);
  const code = (await block("docs/watch.md", "install"))
    .replaceAll(" /etc/", ` ${folder.path}/etc/`);
  const { code: status, stdout, stderr } = await runProgram("bash", [
    ...["-ec", `nginx() { :; }\nsystemctl() { :; }\n${code}`],
  ], { cwd: repository });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /prometheus\.yml is valid [^]* \d\d rules found/);
  // Nothing of what was there is gone, and both are in the lists.
  const jobs = (await Deno.readTextFile(file)).match(/job_name: \S+/g);
  assert.deepEqual(jobs?.at(-1), "job_name: staps");
  assert.equal(jobs?.length, 3);
  assert.equal(
    await Deno.readTextFile(`${folder.path}/etc/prometheus/staps-alerts.yml`),
    await shipped("alerts.yml"),
  );
  await Deno.stat(`${folder.path}/etc/nginx/conf.d/staps-metrics.conf`);

  const { text } = await readPage("docs/watch.md");
  assert.deepEqual(
    Array.from(text.matchAll(/^\| `(Staps\w+)` /gm), ([, name]) => name),
    Array.from(
      (await shipped("alerts.yml")).matchAll(/alert: (\w+)/g),
      ([, name]) => name,
    ),
  );
});
