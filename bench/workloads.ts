/** What is measured, and on whom. */
import type { PeerName } from "./peers.ts";

/** Messages between clients that stay. */
export interface TrafficWorkload {
  name: string;
  title: string;
  peers: readonly PeerName[];
  channels: number;
  clientsPerChannel: number;
  /** Size of a message. */
  bytes: number;
  binary: boolean;
  /** Messages that a publisher sends at once. */
  burst: number;
  /** Channels in which somebody publishes at the same time. */
  window: number;
  /** Only so many channels are used; all, unless given. */
  busyChannels?: number;
  /** Part of a quick run. */
  isQuick?: boolean;
}

const denoOnly: readonly PeerName[] = ["staps", "staps-before", "relay"];
/** Everyone on a socket of their own. */
const direct: readonly PeerName[] = [...denoOnly, "ws", "bun", "nchan"];
const behindNginx: readonly PeerName[] = [
  "staps-nginx",
  "staps-nginx-2",
  "relay-nginx",
  "ws-nginx",
  "bun-nginx",
  "nchan-tcp",
];

const sizes = [
  { bytes: 64, name: "64", title: "64 B" },
  { bytes: 1024, name: "1k", title: "1 KiB" },
  { bytes: 16384, name: "16k", title: "16 KiB" },
];
const kinds = [
  { binary: false, name: "text" },
  { binary: true, name: "binary" },
];

const fanOut = sizes.flatMap(({ bytes, ...size }): TrafficWorkload[] =>
  kinds.flatMap(({ binary, name }) =>
    // A burst stays below what a socket takes at once, so that all of it is on its way.
    [1, bytes > 1024 ? 4 : 16].map((burst) => ({
      name: `fanout-${size.name}-${name}${burst > 1 ? "-burst" : ""}`,
      title: `1 × 500, ${size.title} ${name}${
        burst > 1 ? `, bursts of ${burst}` : ""
      }`,
      peers: direct,
      ...{ channels: 1, clientsPerChannel: 500, window: 1 },
      ...{ bytes, binary, burst },
      isQuick: burst === 1 && bytes === (binary ? 64 : 1024),
    }))
  )
);

const pairs = kinds.map(({ binary, name }): TrafficWorkload => ({
  name: `pairs-64-${name}`,
  title: `500 × 2, 64 B ${name}`,
  peers: direct,
  ...{ channels: 500, clientsPerChannel: 2, window: 500 },
  ...{ bytes: 64, binary, burst: 1 },
  isQuick: !binary,
}));

const throughNginx = [...fanOut, ...pairs]
  .filter(({ name }) =>
    ["fanout-64-binary", "fanout-1k-text", "pairs-64-text"].includes(name)
  )
  .map((workload): TrafficWorkload => ({
    ...workload,
    name: `nginx-${workload.name}`,
    peers: behindNginx,
  }));

/** Few enough that their clients stay well below the 20,000 descriptors that many systems allow. */
const manyChannels = 9000;

/** What is sent where the number of channels or clients grows. */
const growing = { peers: denoOnly, bytes: 64, binary: false, burst: 1 };

const growth: TrafficWorkload[] = [
  ...[1, 10, 100, 1000, manyChannels].map((channels) => ({
    ...growing,
    name: `growth-channels-${channels}`,
    title: `${channels} × 2, 64 B text, 10 at a time`,
    ...{ channels, clientsPerChannel: 2, window: 10 },
  })),
  ...[2, 5, 10, 50, 100, 500, 1000, 2000].map((clientsPerChannel) => ({
    ...growing,
    name: `growth-clients-${clientsPerChannel}`,
    title: `1 × ${clientsPerChannel}, 64 B text`,
    ...{ channels: 1, clientsPerChannel, window: 1 },
  })),
  // Whether it is the number of clients that costs, or how many of them speak.
  {
    ...growing,
    name: "growth-idle",
    title: `10 busy channels of ${manyChannels} × 2, 64 B text`,
    ...{ channels: manyChannels, clientsPerChannel: 2, window: 10 },
    busyChannels: 10,
  },
];

/** All traffic. */
export const traffic: readonly TrafficWorkload[] = [
  ...fanOut,
  ...pairs,
  ...throughNginx,
  ...growth,
];

/** The number of idle clients that all peers are measured with. */
export const idleClients = 10_000;

/** Clients that connect and then do nothing; each peer in a fresh process. */
export interface ConnectWorkload {
  name: string;
  clients: number;
  peers: readonly PeerName[];
  isQuick?: boolean;
}

/** Whose clients stay until memory has settled. */
export const idle: readonly ConnectWorkload[] = [
  { name: "idle-1000", clients: 1000, peers: denoOnly },
  { name: "idle-5000", clients: 5000, peers: denoOnly, isQuick: true },
  {
    name: `idle-${idleClients}`,
    clients: idleClients,
    peers: [...denoOnly, "ws", "bun", "nchan"],
  },
  { name: "idle-15000", clients: 15_000, peers: denoOnly },
];

/** Whose handshakes come all at once. */
export const storm: ConnectWorkload = {
  name: "storm",
  clients: 5000,
  peers: [...direct, "staps-nginx", "relay-nginx", "ws-nginx"],
  isQuick: true,
};
