import net from "node:net";
import type { ConnectionRequest, End, GuestConnection, GuestNetwork, Refusal } from "../guest/index.js";
import { type Rates, relay } from "./relay.js";

const DIAL_TIMEOUT_MS = 120_000;
const KEEP_ALIVE_MS = 60_000;
const PENDING_MAX = 512;

/** What a connection of the guest is joined to. */
export type Target =
  | { kind: "dial"; to: End }
  | { kind: "refuse"; why: Refusal }
  | { kind: "serve"; by: (connection: GuestConnection) => Promise<void> };

/** The guest's TCP connections: each waits until its target has been decided and dialed. */
export class Connections {
  readonly #network: GuestNetwork;
  readonly #target: (request: ConnectionRequest) => Promise<Target>;
  readonly #rates: () => Rates | undefined;
  readonly #most: number;
  readonly #sockets = new Set<net.Socket>();
  /** Those that are being decided or dialed, for the guest says again and again that it wants them. */
  readonly #pending = new Set<string>();
  #open = 0;

  constructor(
    network: GuestNetwork,
    target: (request: ConnectionRequest) => Promise<Target>,
    limits: { connections: number; rates: () => Rates | undefined },
  ) {
    this.#network = network;
    this.#target = target;
    this.#most = limits.connections;
    this.#rates = limits.rates;
  }

  /** Connections that stand. */
  get open(): number {
    return this.#open;
  }

  /** Whether this is news, and there is room for it; otherwise the guest is to try again later, as TCP does. */
  admits(request: ConnectionRequest): boolean {
    return !this.#pending.has(keyOf(request)) && this.#pending.size < PENDING_MAX && this.#open < this.#most;
  }

  /** Decides, dials, and answers the guest. */
  async connect(request: ConnectionRequest): Promise<void> {
    const key = keyOf(request);
    this.#pending.add(key);
    try {
      const target = await this.#target(request);
      if (target.kind === "refuse") this.#network.refuse(request, target.why);
      else if (target.kind === "dial") await this.#dial(request, target.to);
      else void this.#accept(request).then(target.by, () => undefined);
    } finally {
      this.#pending.delete(key);
    }
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async #dial(request: ConnectionRequest, to: End): Promise<void> {
    const socket = net.connect({ host: to.address, port: to.port, noDelay: true, allowHalfOpen: true });
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    const failure = await outcome(socket);
    if (failure !== undefined) {
      const why = refusal(failure);
      if (why) this.#network.refuse(request, why);
      return;
    }
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    this.#accept(request).then(
      (guest) => relay(guest, socket, this.#rates()),
      // The program has not waited for it.
      () => socket.destroy(),
    );
  }

  #accept(request: ConnectionRequest): Promise<GuestConnection> {
    this.#open++;
    return this.#network.accept(request, () => {
      this.#open--;
    });
  }
}

function keyOf({ ends: { source, destination } }: ConnectionRequest): string {
  return `${source.address} ${source.port} ${destination.address} ${destination.port}`;
}

/** Resolves with the error code of a socket that cannot connect, or undefined once it has connected. */
function outcome(socket: net.Socket): Promise<string | undefined> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => socket.destroy(timedOut()), DIAL_TIMEOUT_MS);
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "EIO"));
    socket.once("connect", () => resolve(undefined));
    socket.once("close", () => {
      clearTimeout(timer);
      resolve("ECONNABORTED");
    });
    socket.once("connect", () => clearTimeout(timer));
  });
}

function timedOut(): NodeJS.ErrnoException {
  return Object.assign(new Error("no answer"), { code: "ETIMEDOUT" });
}

/** What the guest's program is told; undefined for silence, after which it times out by itself. */
function refusal(code: string): Refusal | undefined {
  if (code === "ETIMEDOUT") return undefined;
  if (code === "ECONNREFUSED" || code === "ENETUNREACH" || code === "EHOSTUNREACH" || code === "EACCES") return code;
  // A host that has no IPv6 says that it has no address to dial from.
  return code === "EADDRNOTAVAIL" || code === "EAFNOSUPPORT" ? "ENETUNREACH" : "EHOSTUNREACH";
}
