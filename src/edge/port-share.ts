import { randomBytes } from "node:crypto";
import type { Server } from "node:http";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { NetworkError, UsageError } from "../errors.js";
import { DEFAULT_PORT, type ListenOptions, LOOPBACK, listen, type ServerLimits } from "./listen.js";
import { register } from "./shared-port.js";

/** How often those who are left try to take over a port or to join who did. */
const RETRY_MS = { first: 50, most: 2_000 };

/** Where an edge is reached. */
export interface Origin {
  host: string;
  port: number;
  scheme: "http" | "https";
}

/**
 * The port of an edge, which edges of several processes can have together: one of them listens, the others have it pass their
 * requests on. When that one ends, another takes the port.
 */
export class PortShare {
  readonly #options: ListenOptions;
  readonly #limits: ServerLimits;
  readonly #attach: (server: Server) => void;
  readonly #memberships = new Map<string, Duplex>();
  readonly #names = new Set<string>();
  #privatePort: number | undefined;
  #rejoining: Promise<void> | undefined;
  #closed = false;
  /** By which the edge in front is known, whose headers are believed. */
  readonly key = randomBytes(32).toString("hex");

  /** @param attach is given each server that listens */
  constructor(options: ListenOptions, limits: ServerLimits, attach: (server: Server) => void) {
    this.#options = options;
    this.#limits = limits;
    this.#attach = attach;
  }

  /** Takes the port, or a private one where another process has it and it may be shared. @throws NetworkError, UsageError */
  async open(): Promise<Origin> {
    const { port = DEFAULT_PORT, host = LOOPBACK, tls, shared } = this.#options;
    try {
      return await this.#takePort(this.#options);
    } catch (error) {
      if (!shared || !isInUse(error)) throw error;
      this.#privatePort = (await this.#takePort({ port: 0 })).port;
      return { host, port, scheme: tls ? "https" : "http" };
    }
  }

  /** Has a service reached through the process that has the port, if that is another one. @throws NetworkError, UsageError */
  async join(name: string): Promise<void> {
    this.#names.add(name);
    if (this.#privatePort === undefined) return;
    try {
      await this.#register(name, this.#privatePort);
    } catch (error) {
      if (error instanceof UsageError) throw error;
      // Whoever had the port may have ended just now.
      await this.#takePort(this.#options).catch(() => {
        throw error;
      });
      this.#privatePort = undefined;
    }
  }

  leave(name: string): void {
    this.#names.delete(name);
    this.#memberships.get(name)?.destroy();
  }

  close(): void {
    this.#closed = true;
    for (const socket of this.#memberships.values()) socket.destroy();
  }

  async #takePort(options: ListenOptions): Promise<Origin> {
    const { server, ...origin } = await listen(options, this.#limits);
    this.#attach(server);
    return origin;
  }

  async #register(name: string, port: number): Promise<void> {
    const { host = LOOPBACK, port: shared = DEFAULT_PORT, tls } = this.#options;
    const at = { host: host === "0.0.0.0" || host === "::" ? LOOPBACK : host, port: shared, isTls: tls !== undefined };
    const socket = await register(at, { name, port, key: this.key });
    if (this.#closed) return void socket.destroy();
    this.#memberships.set(name, socket);
    socket.once("close", () => {
      this.#memberships.delete(name);
      if (!this.#closed) this.#rejoining ??= this.#rejoin().finally(() => (this.#rejoining = undefined));
    });
    if (socket.destroyed) socket.emit("close");
  }

  /** Whoever had the port is gone: it is taken, or whoever was quicker is joined. */
  async #rejoin(): Promise<void> {
    for (let delayMs = RETRY_MS.first; !this.#closed; delayMs = Math.min(delayMs * 2, RETRY_MS.most)) {
      try {
        await this.#takePort(this.#options);
        this.#privatePort = undefined;
        return;
      } catch {
        const missing = [...this.#names].filter((name) => !this.#memberships.has(name));
        const joined = await Promise.allSettled(missing.map((name) => this.#register(name, this.#privatePort ?? 0)));
        if (joined.every(({ status }) => status === "fulfilled")) return;
      }
      await sleep(delayMs);
    }
  }
}

function isInUse(error: unknown): boolean {
  return error instanceof NetworkError && (error.cause as NodeJS.ErrnoException | undefined)?.code === "EADDRINUSE";
}
