import { setTimeout as sleep } from "node:timers/promises";
import ipaddr from "ipaddr.js";

/** A port that a program of the guest listens on. */
export interface ListeningPort {
  protocol: "tcp" | "udp";
  /** `0.0.0.0` and `::` for all addresses. */
  address: string;
  port: number;
}

/** Reads a file of the guest. */
export type ReadGuestFile = (path: string, options: { length: number; signal?: AbortSignal }) => Promise<Buffer>;

const TABLES = { tcp: "tcp", tcp6: "tcp", udp: "udp", udp6: "udp" } as const;
const TABLE_BYTES_MAX = 1 << 20;
const TCP_LISTEN = "0A";
/** A UDP socket that is not connected to anybody. */
const UDP_UNCONNECTED = "07";
const LEAST_INTERVAL_MS = 10;

/** What is listened on, in the order of the ports. */
export async function listeningPorts(read: ReadGuestFile, signal?: AbortSignal): Promise<ListeningPort[]> {
  const tables = await Promise.all(
    Object.entries(TABLES).map(async ([table, protocol]) => {
      const options = { length: TABLE_BYTES_MAX, ...(signal && { signal }) };
      return parseTable((await read(`/proc/self/net/${table}`, options)).toString("latin1"), protocol);
    }),
  );
  return tables.flat().sort((a, b) => a.port - b.port || textOf(a).localeCompare(textOf(b)));
}

/** What is listened on now, and again whenever that has changed. */
export async function* watchListeningPorts(
  read: ReadGuestFile,
  intervalMs: number,
  signal?: AbortSignal,
): AsyncGenerator<ListeningPort[], void, void> {
  let last: string | undefined;
  for (;;) {
    const ports = await listeningPorts(read, signal);
    const text = ports.map(textOf).join();
    if (text !== last) yield ports;
    last = text;
    await sleep(Math.max(intervalMs, LEAST_INTERVAL_MS), undefined, { signal });
  }
}

/** Reads /proc/net/tcp and its like. Lines that are something else are left out: the guest may have put anything there. */
export function parseTable(table: string, protocol: "tcp" | "udp"): ListeningPort[] {
  const state = protocol === "tcp" ? TCP_LISTEN : UDP_UNCONNECTED;
  const ports = new Map<string, ListeningPort>();
  for (const line of table.split("\n")) {
    const match = /^\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) [0-9A-F]+:([0-9A-F]{4}) ([0-9A-F]{2}) /.exec(line);
    const [, address = "", port = "", remotePort, found] = match ?? [];
    if (!match || found !== state || remotePort !== "0000") continue;
    const listening = { protocol, address: addressOf(address), port: Number.parseInt(port, 16) };
    ports.set(textOf(listening), listening);
  }
  return [...ports.values()];
}

/** The kernel prints each 32 bits as a number; of all architectures that we run, the lowest byte is the first. */
function addressOf(hex: string): string {
  const bytes = [...Buffer.from(hex, "hex")];
  const words = Array.from({ length: bytes.length / 4 }, (_, index) => bytes.slice(index * 4, index * 4 + 4).reverse());
  return ipaddr.fromByteArray(words.flat()).toString();
}

function textOf({ protocol, address, port }: ListeningPort): string {
  return `${protocol} ${address} ${port}`;
}
