/** Whether the bridge works, by making one: what it says is what the server would say. */
import { AmqpBridge } from "../../amqp/bridge.ts";
import { declaredType } from "../../amqp/node_queue.ts";
import { readPemFiles } from "../../amqp/pem.ts";
import { formatHostPort } from "../../common/host_port.ts";
import { brokerHosts } from "../../settings/amqp_url.ts";
import type { Config } from "../../settings/config.ts";
import { AdminError } from "../../common/errors.ts";
import { type Finding, Findings } from "./finding.ts";
import { checkPolicies } from "./policies.ts";

/** How long a message through the broker may take, in milliseconds. */
const probeMs = 5000;

/**
 * Looks at every broker of the configuration, one after the other, and at the
 * policies, which are the same on all, on the first one that works.
 */
export async function checkBroker(
  { staps, bridge }: Pick<Config, "staps" | "bridge">,
): Promise<Finding[]> {
  const findings = new Findings("broker");
  const { amqp } = staps;
  if (amqp === undefined) {
    findings.ok("none: this node works alone");
    return findings.all;
  }
  const hosts = brokerHosts(amqp, bridge.hosts);
  const working = [];
  for (const host of hosts) {
    const isWorking = await checkHost(findings, {
      place: formatHostPort(host),
      bridge: new AmqpBridge({ amqp, ...bridge, hosts: [host] }),
    });
    if (isWorking) working.push(host);
  }
  const [host] = working;
  if (host === undefined) return findings.all;
  const { exchange, heartbeatS, queueType } = bridge;
  await checkPolicies(findings, {
    ...{ exchange, heartbeatS, place: formatHostPort(host) },
    queueType: declaredType({ queueType, hosts }),
    endpoint: { ...amqp, ...host, pem: await readPemFiles(bridge) },
  });
  return findings.all;
}

/** Gets whether the broker works. */
async function checkHost(
  findings: Findings,
  { place, bridge }: { place: string; bridge: AmqpBridge },
): Promise<boolean> {
  try {
    await bridge.start({
      deliver: () => {},
      gap: () => {},
      congested: () => {},
      openCount: () => 0,
    });
    const { connected, problem } = bridge.state();
    if (!connected) {
      findings.fail(
        `Cannot connect to the broker at ${place}${
          problem === undefined ? "" : `: ${problem}`
        }`,
        "staps would start, and keep trying; if nothing answers: is RabbitMQ running, and no firewall between?",
      );
      return false;
    }
    const ms = await bridge.probe(probeMs);
    findings.ok(
      `the broker at ${place} takes messages and returns them in ${
        ms.toFixed(1)
      } ms`,
    );
    return true;
  } catch (error) {
    if (error instanceof AdminError) findings.fail(error.message, error.hint);
    else {
      findings.fail(
        `The broker at ${place} is connected, but returns no message: ${
          (error as Error).message
        }`,
        "is it short of memory or disk? See: rabbitmqctl status",
      );
    }
    return false;
  } finally {
    await bridge.close();
  }
}
