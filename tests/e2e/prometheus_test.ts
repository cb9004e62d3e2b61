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
import { startServer } from "../helpers/server.ts";
import { StubBridge } from "../helpers/stub_bridge.ts";

Deno.test.beforeAll(() => ensurePackages(["nginx", "prometheus"]));

function shipped(name: string): Promise<string> {
  return Deno.readTextFile(`${repository}/monitoring/${name}`);
}

interface Dashboard {
  readonly panels: readonly {
    readonly id: number;
    readonly type: string;
    readonly title: string;
    readonly description?: string;
    readonly gridPos: { x: number; y: number; w: number; h: number };
    readonly targets?: readonly { readonly expr: string }[];
  }[];
  readonly templating: {
    readonly list: readonly { name: string; definition?: string }[];
  };
}

async function readDashboard(): Promise<Dashboard> {
  return JSON.parse(await shipped("grafana-dashboard.json"));
}

/** Gets what Prometheus is to be asked for each panel, with Grafana's variables filled in. */
async function dashboardQueries(): Promise<[title: string, query: string][]> {
  const { panels } = await readDashboard();
  return panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }): [string, string] => [
      title,
      expr.replaceAll("$__rate_interval", "10s").replaceAll("$job", ".*")
        .replaceAll("$instance", ".*"),
    ])
  );
}

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

async function promtool(...args: string[]): Promise<void> {
  const { code, stdout, stderr } = await runProgram("promtool", args);
  assert.equal(code, 0, stdout + stderr);
}

Deno.test("alerts name metrics that exist, and the dashboard shows every one but the version", async () => {
  const used = metricsIn(await shipped("alerts.yml"));
  assert.ok(used.length > 5);
  assert.deepEqual(used.filter((name) => !sampleNames.has(name)), []);
  const queries = await dashboardQueries();
  const shown = queries.flatMap(([, query]) => metricsIn(query))
    .map((name) => name.replace(/_(bucket|sum|count)$/, ""));
  const missing = figures.map(({ name }) => name)
    .filter((name) => !shown.includes(name));
  assert.deepEqual(missing, ["staps_build_info"]);
});

Deno.test("the dashboard's panels are told apart, explained, and don't overlap", async () => {
  const { panels } = await readDashboard();
  const taken = new Set<string>();
  for (const { id, title, type, description, gridPos } of panels) {
    assert.ok(type === "row" || description, title);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        assert.ok(!taken.has(`${x}/${y}`), `${title} overlaps`);
        taken.add(`${x}/${y}`);
      }
    }
    assert.equal(panels.filter((panel) => panel.id === id).length, 1, title);
  }
});

Deno.test("alerts fire when they should, and not before", async () => {
  await using folder = await TempFolder.make();
  const summaries = {
    StapsNotReady: ["critical", "staps at n isn't ready: /readyz says why"],
    StapsClientsNearLimit: [
      "warning",
      "staps at n has 95% of the clients that it may have",
    ],
    StapsMessagesLost: [
      "warning",
      "Messages between nodes were lost, or may have been; the clients concerned were closed",
    ],
  } as const;
  const expected: [keyof typeof summaries, time: string, fires: boolean][] = [
    ["StapsNotReady", "2m30s", false],
    ["StapsNotReady", "4m", true],
    ["StapsNotReady", "9m", false],
    ["StapsClientsNearLimit", "4m", false],
    ["StapsClientsNearLimit", "6m", true],
    ["StapsMessagesLost", "4m", true],
  ];
  const series = (name: string, values: string): unknown => ({
    series: `staps_${name}{job="staps",instance="n"}`,
    values,
  });
  const test = {
    rule_files: [`${repository}/monitoring/alerts.yml`],
    evaluation_interval: "15s",
    tests: [{
      interval: "15s",
      input_series: [
        series("ready", "1x8 0x20 1x20"),
        series("clients", "95x60"),
        series("clients_limit", "100x60"),
        series("bridge_gaps_total", "0x10 1x50"),
      ],
      alert_rule_test: expected.map(([alertname, eval_time, fires]) => {
        const [severity, summary] = summaries[alertname];
        const alert = {
          exp_labels: { severity, job: "staps", instance: "n" },
          exp_annotations: { summary },
        };
        return { eval_time, alertname, exp_alerts: fires ? [alert] : [] };
      }),
    }],
  };
  const file = `${folder.path}/test.yml`;
  // JSON is YAML.
  await Deno.writeTextFile(file, JSON.stringify(test));
  await promtool("test", "rules", file);
});

interface QueryResult {
  readonly metric: Record<string, string>;
  readonly value: [number, string];
}

/** A real Prometheus that scrapes `target` each second. */
class Prometheus extends Process {
  readonly #api: string;

  constructor(folder: string, port: number) {
    super("prometheus", [
      `--config.file=${folder}/prometheus.yml`,
      `--storage.tsdb.path=${folder}/data`,
      `--web.listen-address=127.0.0.1:${port}`,
      "--log.level=warn",
    ]);
    this.#api = `http://127.0.0.1:${port}/api/v1`;
  }

  /** Gets the answer to a query; nothing while it doesn't answer yet. */
  async query(query: string): Promise<QueryResult[]> {
    const data = await this.#get(`query?query=${encodeURIComponent(query)}`);
    return (data?.result ?? []) as QueryResult[];
  }

  /** Gets each alert's name and whether it can be evaluated. */
  async rules(): Promise<{ name: string; health: string }[]> {
    const data = await this.#get("rules");
    const groups = (data?.groups ?? []) as {
      rules: { name: string; health: string }[];
    }[];
    return groups.flatMap(({ rules }) => rules);
  }

  async #get(path: string): Promise<Record<string, unknown> | undefined> {
    try {
      const answer = await fetch(`${this.#api}/${path}`);
      const { data, error } = await answer.json();
      if (error !== undefined) {
        throw new assert.AssertionError({ message: error });
      }
      return data;
    } catch (error) {
      if (error instanceof TypeError || error instanceof SyntaxError) {
        return undefined;
      }
      throw error;
    }
  }
}

Deno.test("Prometheus scrapes staps through nginx, and the dashboard's queries return data", async (t) => {
  const bridge = new StubBridge();
  await using testServer = await startServer({ bridge });
  const socket = `${testServer.socket}.admin`;
  const { server } = testServer;
  // Group and mode are what check and the frontend's tests are about.
  await using _admin = await Admin.start({
    socket,
    mode: 0o666,
    server,
    bridge,
  });

  const [nginxPort, prometheusPort] = [freePort(), freePort()];
  const nginxFolder = await TempFolder.make();
  const site = (await shipped("nginx.conf"))
    .replaceAll("/run/staps/admin.sock", socket);
  await Deno.writeTextFile(
    `${nginxFolder.path}/site.conf`,
    replaceOnce(site, [[
      "listen 127.0.0.1:9464",
      `listen 127.0.0.1:${nginxPort}`,
    ]]),
  );
  await Deno.writeTextFile(
    `${nginxFolder.path}/nginx.conf`,
    mainConfig(nginxFolder.path, frontendGroup),
  );
  await using folder = await TempFolder.make();
  await Deno.writeTextFile(
    `${folder.path}/prometheus.yml`,
    "global: {scrape_interval: 1s, evaluation_interval: 1s}\n" +
      `rule_files: [${repository}/monitoring/alerts.yml]\nscrape_configs:\n` +
      replaceOnce(await shipped("prometheus.yml"), [
        ["127.0.0.1:9464", `127.0.0.1:${nginxPort}`],
      ]),
  );
  await using _nginx = new Nginx(nginxFolder, nginxPort);
  await using prometheus = new Prometheus(folder.path, prometheusPort);

  // Figures per second need something that goes on.
  const path = `/${crypto.randomUUID()}`;
  const sender = await testServer.connect(path);
  await testServer.connect(path);
  let traffic = true;
  const going = (async () => {
    while (traffic) {
      sender.send("x");
      const guest = await testServer.connect(path);
      guest.close(1000);
      await pause(200);
    }
  })();
  await using _stop = {
    async [Symbol.asyncDispose](): Promise<void> {
      traffic = false;
      await going;
    },
  };

  await t.step("the target is up", async () => {
    await eventually(
      async () => {
        const [up] = await prometheus.query('up{job="staps"}');
        return up?.value[1] === "1";
      },
      () => `a scrape, got:\n${prometheus.output}`,
    );
  });
  await t.step("every metric is there", async () => {
    for (const name of sampleNames) {
      const [first] = await prometheus.query(name);
      assert.equal(first?.metric.job, "staps", name);
    }
  });
  await t.step("every query of the dashboard returns data", async () => {
    for (const [title, query] of await dashboardQueries()) {
      await eventually(async () => {
        const result = await prometheus.query(query);
        return result.some(({ value }) => value[1] !== "NaN");
      }, `data for "${title}": ${query}`);
    }
  });
  await t.step("every alert can be evaluated", async () => {
    await eventually(
      async () => {
        const rules = await prometheus.rules();
        return rules.length > 10 &&
          rules.every(({ health }) => health === "ok");
      },
      async () => `health of ${JSON.stringify(await prometheus.rules())}`,
    );
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
