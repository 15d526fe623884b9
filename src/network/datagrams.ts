import dgram from "node:dgram";
import { isIPv6 } from "node:net";
import { type End, type Ends, type GuestNetwork, type Refusal, reversed } from "../guest/index.js";
import type { Rates } from "./relay.js";

const UNANSWERED_MS = 30_000;
const ANSWERED_MS = 180_000;
const FLOWS_MAX = 1_024;
const WAITING_MAX = 16;

interface Flow {
  socket: dgram.Socket;
  idle: NodeJS.Timeout;
  answered: boolean;
  /** Datagrams until the socket stands. */
  waiting: Buffer[] | undefined;
}

/** The guest's UDP: a socket of the host's for each pair of ends, until nothing has come or gone for a while. */
export class Datagrams {
  readonly #network: GuestNetwork;
  readonly #rates: () => Rates | undefined;
  readonly #flows = new Map<string, Flow>();

  constructor(network: GuestNetwork, rates: () => Rates | undefined) {
    this.#network = network;
    this.#rates = rates;
  }

  get open(): number {
    return this.#flows.size;
  }

  /** Sends on the flow of these ends, if there is one. */
  send(ends: Ends, content: Buffer): boolean {
    const key = keyOf(ends);
    const flow = this.#flows.get(key);
    if (!flow) return false;
    // The one that is used last is given up last.
    this.#flows.delete(key);
    this.#flows.set(key, flow);
    flow.idle.refresh();
    if (this.#rates()?.out.take(content.length) === false) return true;
    if (flow.waiting === undefined) flow.socket.send(content);
    else if (flow.waiting.length < WAITING_MAX) flow.waiting.push(Buffer.from(content));
    return true;
  }

  /** A new flow between these ends to an address that may be sent to. */
  add(ends: Ends, to: End): void {
    const socket = dgram.createSocket(isIPv6(to.address) ? "udp6" : "udp4");
    const key = keyOf(ends);
    const close = (): void => {
      if (this.#flows.get(key) === flow) this.#flows.delete(key);
      this.#end(flow);
    };
    const flow: Flow = { socket, idle: setTimeout(close, UNANSWERED_MS), answered: false, waiting: [] };
    flow.idle.unref();
    socket.on("message", (content) => {
      if (!flow.answered) {
        flow.answered = true;
        clearTimeout(flow.idle);
        flow.idle = setTimeout(close, ANSWERED_MS).unref();
      }
      flow.idle.refresh();
      if (this.#rates()?.in.take(content.length) !== false) this.#network.sendDatagram(reversed(ends), content);
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      const why = refusal(error.code);
      if (why) this.#network.refuseDatagram(ends, why);
      close();
    });
    socket.connect(to.port, to.address, () => {
      for (const content of flow.waiting ?? []) socket.send(content);
      flow.waiting = undefined;
    });
    this.#flows.set(key, flow);
    this.#dropOldest();
  }

  close(): void {
    for (const flow of this.#flows.values()) this.#end(flow);
    this.#flows.clear();
  }

  #dropOldest(): void {
    for (const [key, flow] of this.#flows) {
      if (this.#flows.size <= FLOWS_MAX) return;
      this.#flows.delete(key);
      this.#end(flow);
    }
  }

  #end(flow: Flow): void {
    clearTimeout(flow.idle);
    flow.socket.removeAllListeners();
    flow.socket.on("error", () => undefined);
    flow.socket.close();
  }
}

function keyOf({ source, destination }: Ends): string {
  return `${source.address} ${source.port} ${destination.address} ${destination.port}`;
}

function refusal(code: string | undefined): Refusal | undefined {
  if (code === "ECONNREFUSED" || code === "ENETUNREACH" || code === "EHOSTUNREACH" || code === "EACCES") return code;
  return code === "EADDRNOTAVAIL" ? "ENETUNREACH" : undefined;
}
