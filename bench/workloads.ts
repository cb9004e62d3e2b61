/** What is measured. */

/** Messages between clients that stay. */
export interface TrafficWorkload {
  name: string;
  channels: number;
  clientsPerChannel: number;
  /** Size of a message. */
  bytes: number;
  binary: boolean;
  /** Messages that a publisher sends at once. */
  burst: number;
  /** Channels in which somebody publishes at the same time. */
  window: number;
  /** Publishes as often instead of as fast as possible. */
  turnsPerSecond?: number;
  churnPerSecond?: number;
}

const sizes = [{ bytes: 64, name: "64" }, { bytes: 1024, name: "1k" }, { bytes: 16384, name: "16k" }];
const kinds = [{ binary: false, name: "text" }, { binary: true, name: "binary" }];

/** 1 channel × 500 clients. */
const fanOut: TrafficWorkload[] = sizes.flatMap((size) =>
  kinds.flatMap((kind) =>
    [1, size.bytes > 1024 ? 4 : 16].map((burst) => ({
      name: `fanout-${size.name}-${kind.name}${burst > 1 ? "-burst" : ""}`,
      channels: 1,
      clientsPerChannel: 500,
      bytes: size.bytes,
      binary: kind.binary,
      burst,
      window: 1,
    }))
  )
);

/** 500 channels × 2 clients. */
const pairs: TrafficWorkload[] = kinds.map((kind) => ({
  name: `pairs-64-${kind.name}`,
  channels: 500,
  clientsPerChannel: 2,
  bytes: 64,
  binary: kind.binary,
  burst: 1,
  window: 500,
}));

/** All of them. */
export const traffic: readonly TrafficWorkload[] = [...fanOut, ...pairs];
