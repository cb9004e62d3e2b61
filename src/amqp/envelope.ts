/**
 * What surrounds a message between nodes: three AMQP properties, so that the
 * body is the client's message as it is.
 *
 *     type        "text", "binary", or what else it is
 *     app_id      the node that sent it
 *     message_id  two whole numbers in base 36, with a dot between
 *     reply_to    on messages whose sender wants a receipt: where to send it
 */

/**
 * What travels between nodes:
 *
 * - `text`, `binary`: a client's message.
 * - `batch`: several messages of clients, see `batch.ts`.
 * - `lost`: the node gave up messages of this channel before the broker had
 *   them; all others missed them.
 * - `rejected`: the broker didn't take messages of this channel for at least
 *   one node, which missed them.
 * - `probe`: a node's message to itself.
 * - `receipt`: the node handed the message `sequence` of the node that this goes
 *   to, to `since` members; see `posts.ts`.
 * - `hello`, `digest`: the numbers of a node's last messages, see `numbers.ts`.
 * - `alive`, `bye`: a node is there, or goes, see `peers.ts`.
 * - `ask`, `answer`, `echo`: a node joins channels, and the others answer, see
 *   `agreement.ts`.
 */
export type Kind = typeof kinds[number];

const kinds = [
  "text",
  "binary",
  "batch",
  "lost",
  "rejected",
  "probe",
  "receipt",
  "hello",
  "digest",
  "alive",
  "bye",
  "ask",
  "answer",
  "echo",
] as const;

/** A message's kind, sender, and place in the order of what that sender sent. */
export interface Envelope {
  readonly kind: Kind;
  /** The node that sent it. */
  readonly node: string;
  /** The message's number among all of its node; of a notice the highest one concerned. */
  readonly sequence: number;
  /**
   * The number of the node's message before it in the same channel, 0 if none
   * is known; of a notice the lowest one concerned.
   */
  readonly since: number;
}

/** The AMQP properties that carry an {@linkcode Envelope}. */
export interface EnvelopeProperties {
  readonly type: string;
  readonly appId: string;
  readonly messageId: string;
}

/** Gets the properties that carry `envelope`. */
export function writeEnvelope(envelope: Envelope): EnvelopeProperties {
  const { kind, node, sequence, since } = envelope;
  return {
    type: kind,
    appId: node,
    messageId: `${sequence.toString(36)}.${since.toString(36)}`,
  };
}

/** Reads what {@linkcode writeEnvelope} wrote; `undefined` if somebody else wrote it. */
export function readEnvelope(
  properties: Record<keyof EnvelopeProperties, unknown>,
): Envelope | undefined {
  const { type, appId, messageId } = properties;
  const kind = kinds.find((kind) => kind === type);
  if (kind === undefined) return undefined;
  if (typeof appId !== "string" || !/^[0-9a-f]{16}$/.test(appId)) {
    return undefined;
  }
  const numbers = typeof messageId === "string"
    ? /^([0-9a-z]{1,11})\.([0-9a-z]{1,11})$/.exec(messageId)
    : null;
  if (numbers === null) return undefined;
  const sequence = parseInt(numbers[1]!, 36);
  const since = parseInt(numbers[2]!, 36);
  if (!Number.isSafeInteger(sequence) || !Number.isSafeInteger(since)) {
    return undefined;
  }
  return { kind, node: appId, sequence, since };
}
