/** The broker's "no" for good: what an administrator has to mend before a start can succeed. */
import { ConfigError } from "../common/errors.ts";
import { formatHostPort } from "../common/host_port.ts";
import {
  type Access,
  type BrokerError,
  replyCodes,
  wordsOf,
} from "./broker_error.ts";
import type { BrokerUrl } from "./connect.ts";

const hints = {
  rights: "docs/bridge.md has the command that sets the rights",
  vhost: "docs/bridge.md has the commands that make one and set the rights",
  exchange: `choose another "exchange" in [bridge], or delete that one`,
} as const;

/**
 * Gets the error to end with if `error` can't heal by itself; `undefined` if
 * trying again may help, as with all that isn't known: see `trouble.ts`.
 *
 * RabbitMQ has few codes for many reasons, so its words decide, and are shown.
 */
export function explainRefusal(
  error: BrokerError,
  url: BrokerUrl,
): ConfigError | undefined {
  const { access, opening } = error.detail;
  if (opening) return explainOpening(error, url);
  return access && explainAnswer(error, { access, url });
}

function explainOpening(
  error: BrokerError,
  url: BrokerUrl,
): ConfigError | undefined {
  const { code } = error.detail;
  const { user, password, vhost } = url;
  const words = wordsOf(error);
  const broker = `the broker at ${formatHostPort(url)}`;
  if (code === replyCodes.accessRefused) {
    return password === ""
      ? new ConfigError(
        `Cannot log in to ${broker} as "${user}": "amqp" has an empty password, which RabbitMQ refuses (${words})`,
        {
          hint:
            `set one with: rabbitmqctl change_password ${user} PASSWORD, and put it into "amqp" in [staps]`,
        },
      )
      : new ConfigError(
        `Cannot log in to ${broker} as "${user}": it refuses user or password (${words})`,
        {
          hint:
            `RabbitMQ lets the user "guest" in from its own machine only; ` +
            `check with: rabbitmqctl authenticate_user ${user}`,
        },
      );
  }
  if (code !== replyCodes.notAllowed) return undefined;
  const problem = / - vhost .* not found$/.test(words)
    ? "it doesn't exist"
    // What follows would be a reason that can heal, such as a limit.
    : / - access to vhost '.*' refused for user '[^']*'$/.test(words)
    ? `"${user}" has no rights in it`
    : undefined;
  return problem === undefined ? undefined : new ConfigError(
    `Cannot use the virtual host "${vhost}" on ${broker}: ${problem} (${words})`,
    { hint: hints.vhost },
  );
}

function explainAnswer(
  error: BrokerError,
  { access, url }: { access: Access; url: BrokerUrl },
): ConfigError | undefined {
  const { code } = error.detail;
  const words = wordsOf(error);
  const broker = `the broker at ${formatHostPort(url)}`;
  const refused =
    /(?:(configure|write|read) )?access to (exchange|queue) '([^']*)' .*refused/
      .exec(words);
  if (code === replyCodes.accessRefused && refused) {
    const [, namedRight, kind, name] = refused;
    // Binding needs two rights, and RabbitMQ 3.10 tells by the object which is missing.
    const right = namedRight ?? (kind === access.kind ? access.right : "read");
    return new ConfigError(
      `Cannot use ${broker}: the user "${url.user}" lacks the right "${right}" ` +
        `on the ${kind} "${name}" in the virtual host "${url.vhost}" (${words})`,
      { hint: hints.rights },
    );
  }
  if (
    code === replyCodes.preconditionFailed && /inequivalent arg/.test(words)
  ) {
    return new ConfigError(
      `Cannot use the ${access.kind} "${access.name}" on ${broker}: it exists with other arguments (${words})`,
      access.kind === "exchange" ? { hint: hints.exchange } : {},
    );
  }
  return undefined;
}
