/** What a broker's "no" means to an administrator. */
import { ConfigError } from "../common/errors.ts";
import { formatHostPort } from "../common/host_port.ts";
import { type BrokerError, replyCodes } from "./broker_error.ts";
import type { BrokerUrl } from "./connect.ts";

/**
 * Gets the error to end with if `error` can't heal by itself; `undefined` if
 * trying again may help.
 */
export function explainRefusal(
  error: BrokerError,
  url: BrokerUrl,
): ConfigError | undefined {
  const { code, access, opening } = error.detail;
  const { user, password, vhost } = url;
  const broker = `the broker at ${formatHostPort(url)}`;
  if (opening) {
    if (/ACCESS.REFUSED/.test(error.message)) {
      return password === ""
        ? new ConfigError(
          `Cannot log in to ${broker} as "${user}": "amqp" has an empty password, which RabbitMQ refuses`,
          {
            hint:
              `set one with: rabbitmqctl change_password ${user} PASSWORD, and put it into "amqp" in [staps]`,
          },
        )
        : new ConfigError(
          `Cannot log in to ${broker} as "${user}": it refuses user or password`,
          {
            hint:
              `RabbitMQ lets the user "guest" in from its own machine only; ` +
              `check with: rabbitmqctl authenticate_user ${user}`,
          },
        );
    }
    // amqplib doesn't tell the reply code here. Unknown vhosts and users
    // without any right there get the same one, 530.
    if (/Expected ConnectionOpenOk/.test(error.message)) {
      return new ConfigError(
        `Cannot use the virtual host "${vhost}" on ${broker}: it doesn't exist, or "${user}" has no rights in it`,
        {
          hint:
            `docs/bridge.md has the commands that make one and set the rights`,
        },
      );
    }
    if (/certificate|UnknownIssuer|self.signed/i.test(error.message)) {
      return new ConfigError(`Cannot trust ${broker}: ${error.message}`, {
        hint: `"ca" in [bridge] names the authorities that may vouch for it`,
      });
    }
    return undefined;
  }
  if (code === replyCodes.accessRefused && access) {
    const named = /(?:(configure|write|read) )?access to (exchange|queue) '/
      .exec(error.message);
    const kind = named?.[2] ?? access.kind;
    // Binding needs two rights, and RabbitMQ tells by the object which is missing.
    const right = named?.[1] ?? (kind === access.kind ? access.right : "read");
    const name = kind === access.kind
      ? access.name
      : /access to \w+ '([^']*)'/.exec(error.message)?.[1] ?? "";
    return new ConfigError(
      `Cannot use ${broker}: the user "${user}" lacks the right "${right}" ` +
        `on the ${kind} "${name}" in the virtual host "${vhost}"`,
      {
        hint: `docs/bridge.md has the command that sets the rights`,
      },
    );
  }
  if (code === replyCodes.preconditionFailed && access) {
    const reason = /PRECONDITION_FAILED - (.*?)"?$/.exec(error.message)?.[1];
    return new ConfigError(
      `Cannot use the ${access.kind} "${access.name}" on ${broker}: it exists with other arguments` +
        (reason === undefined ? "" : ` (${reason})`),
      { hint: `choose another "exchange" in [bridge], or delete that one` },
    );
  }
  return undefined;
}
