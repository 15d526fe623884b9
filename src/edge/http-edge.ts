import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { AccessEntry } from "./access-log.js";
import { Exchange } from "./exchange.js";
import { forward } from "./forward.js";
import { type ListenOptions, refuse, type ServerLimits, serverLimits } from "./listen.js";
import type { ServiceOptions } from "./options.js";
import { type Origin, PortShare } from "./port-share.js";
import { Problem, rawProblem, sendProblem } from "./problem.js";
import { KEY_HEADER, REMOTE_OPTIONS, remoteWorker } from "./remote-worker.js";
import { type EdgeHealth, Router } from "./router.js";
import { Service } from "./service.js";
import { acceptRegistration, SHARE_PROTOCOL } from "./shared-port.js";
import { forwardUpgrade } from "./upgrade.js";
import { loadClient } from "./worker.js";
import type { WorkerSource } from "./worker-source.js";

export const HEALTH_PATH = "/_health";
const DEFAULT_GRACE_MS = 10_000;
const TIDY_MS = 50;

/** How an edge listens and what it allows clients. */
export interface EdgeOptions extends ListenOptions, Partial<ServerLimits> {
  /** Is called with every request that was dealt with, for an access log. */
  onRequest?: ((entry: AccessEntry) => void) | undefined;
}

/**
 * An HTTP server in front of workers: each request goes to the least busy one of the service that its host names. It streams in both
 * directions, passes WebSockets on, retries what can do no harm on another worker, and says why when it cannot serve.
 */
export class HttpEdge implements AsyncDisposable {
  readonly #limits: ServerLimits;
  readonly #onRequest: ((entry: AccessEntry) => void) | undefined;
  readonly #router = new Router();
  readonly #servers = new Set<Server>();
  readonly #upgraded = new Set<Duplex>();
  readonly #exchanges = new WeakMap<Duplex, Exchange>();
  readonly #share: PortShare;
  readonly #isShared: boolean;
  /** Services of other processes: these keep the log of them. */
  readonly #remote = new Set<Service>();
  readonly #joining = new Set<Promise<void>>();
  #origin: Origin = { host: "", port: 0, scheme: "http" };
  #drained: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  private constructor(options: EdgeOptions) {
    this.#limits = serverLimits(options);
    this.#onRequest = options.onRequest;
    this.#isShared = options.shared === true;
    this.#share = new PortShare(options, this.#limits, (server) => this.#serve(server));
  }

  /** Begins to listen. @throws NetworkError when the port is in use, UsageError */
  static async listen(options: EdgeOptions = {}): Promise<HttpEdge> {
    const edge = new HttpEdge(options);
    // While workers are started there is nothing else to do. Whether it can be loaded the first worker sees.
    loadClient().catch(() => undefined);
    edge.#origin = await edge.#share.open();
    return edge;
  }

  /** The port on the host. */
  get port(): number {
    return this.#origin.port;
  }

  /** Where it is reached, such as `http://localhost:8080`; with a name, the address of that service. */
  url(name?: string): string {
    const { scheme, host, port } = this.#origin;
    const isHere = host === "127.0.0.1" || host === "::1" || host === "0.0.0.0" || host === "::";
    const where = isHere ? "localhost" : host.includes(":") ? `[${host}]` : host;
    return `${scheme}://${name === undefined ? where : `${name}.localhost`}:${port}`;
  }

  /**
   * Adds a service: it is reached as `NAME.localhost`, and the first one by every other host name too. Its workers are started now.
   * @throws UsageError
   */
  add(name: string, source: WorkerSource, options: ServiceOptions = {}): Service {
    const service = new Service(name, source, options);
    this.#router.add(service);
    service.wake();
    const joined = this.#share.join(name);
    joined.catch(() => undefined);
    this.#joining.add(joined);
    return service;
  }

  /**
   * Resolves once every service is reachable and has a worker.
   * @throws VmError when one has none and cannot have one soon, NetworkError when another program has a shared port, UsageError when
   * the name is taken there
   */
  async untilReady(signal: AbortSignal = new AbortController().signal): Promise<void> {
    await Promise.all(this.#joining);
    await Promise.all(this.#router.services.map((service) => service.untilReady(signal)));
  }

  /** Takes a service away, and ends its workers. */
  async remove(service: Service): Promise<void> {
    this.#share.leave(service.name);
    this.#router.remove(service);
    await service.close();
  }

  /** What `/_health` answers. */
  health(): EdgeHealth {
    return this.#router.health();
  }

  /**
   * Accepts nothing more, lets requests come to their end for `graceMs` (10 s by default), and ends what is left, WebSockets at once.
   * The workers stay.
   */
  drain(options: { graceMs?: number } = {}): Promise<void> {
    this.#drained ??= this.#drain(options.graceMs ?? DEFAULT_GRACE_MS);
    return this.#drained;
  }

  /** The same, and then ends the workers. Resolves when all of them have ended. */
  close(options: { graceMs?: number } = {}): Promise<void> {
    this.#closing ??= this.drain(options).then(async () => {
      await Promise.all(this.#router.services.map((service) => service.close()));
    });
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #drain(graceMs: number): Promise<void> {
    this.#share.close();
    const closed = [...this.#servers].map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    // Those that become idle later are to go as well.
    const tidy = setInterval(() => {
      for (const server of this.#servers) server.closeIdleConnections();
    }, TIDY_MS);
    for (const socket of this.#upgraded) socket.destroy();
    const force = setTimeout(() => {
      for (const server of this.#servers) server.closeAllConnections();
    }, graceMs);
    await Promise.all(closed);
    clearTimeout(force);
    clearInterval(tidy);
  }

  #serve(server: Server): void {
    this.#servers.add(server);
    server.on("request", (request, response) => void this.#request(request, response));
    server.on("upgrade", (request, socket, head) => void this.#upgrade(request, socket, head));
    server.on("connect", (request, socket: Duplex) => {
      const problem = new Problem(405, "bad_request", "this is no proxy to elsewhere");
      socket.on("error", () => undefined).end(rawProblem(problem, request.headers.accept));
    });
    server.on("clientError", (error, socket) => refuse(error, socket, this.#exchanges.get(socket)?.answering === true));
    server.on("timeout", (socket: Duplex) => this.#stalled(socket));
  }

  async #request(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on("error", () => undefined);
    // Whoever keeps its connection would keep a server that closes.
    if (this.#drained) response.shouldKeepAlive = false;
    try {
      if (isHealth(request) && !this.#isRemote(request)) return this.#health(request, response);
      const exchange = this.#exchange(request);
      this.#exchanges.set(request.socket, exchange);
      await forward(exchange, response);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      sendProblem(request, response, error);
    }
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    // What was upgraded may be silent for as long as it likes.
    request.socket.setTimeout(0);
    this.#upgraded.add(socket);
    socket.on("error", () => undefined).once("close", () => this.#upgraded.delete(socket));
    try {
      if (this.#isShared && request.headers.upgrade === SHARE_PROTOCOL) return await this.#takeIn(request, socket);
      await forwardUpgrade(this.#exchange(request), socket, head);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      socket.end(rawProblem(error, request.headers.accept));
    }
  }

  #exchange(request: IncomingMessage): Exchange {
    const service = this.#router.find(request.headers.host);
    const trusted = request.headers[KEY_HEADER] === this.#share.key;
    return new Exchange(request, service, trusted, this.#remote.has(service) ? undefined : this.#onRequest);
  }

  /** Passes requests for a service of another process on, as long as that keeps the connection. */
  #takeIn(request: IncomingMessage, socket: Duplex): Promise<void> {
    return acceptRegistration(request, socket, (registration) => {
      const service = new Service(registration.name, remoteWorker(registration, socket), REMOTE_OPTIONS);
      this.#router.add(service);
      this.#remote.add(service);
      service.wake();
      socket.once("close", () => {
        this.#router.remove(service);
        this.#remote.delete(service);
        // It may only be closing, and still answer what it has.
        void service.whenIdle().then(() => service.close());
      });
    });
  }

  /** A service of another process says itself how it is. */
  #isRemote({ headers: { host = "" } }: IncomingMessage): boolean {
    return /\.localhost\.?(:\d*)?$/i.test(host) && this.#remote.has(this.#router.find(host));
  }

  #health(request: IncomingMessage, response: ServerResponse): void {
    const health = this.#router.health(request.headers.host);
    const text = `${JSON.stringify(health, undefined, 2)}\n`;
    response.writeHead(health.status === "unavailable" ? 503 : 200, {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(text),
      "cache-control": "no-store",
    });
    response.end(request.method === "HEAD" ? undefined : text);
  }

  /** Nothing has moved on a connection for a while: it is ended if it is the client who could have moved something. */
  #stalled(socket: Duplex): void {
    const exchange = this.#exchanges.get(socket);
    if (!exchange || exchange.over) return void socket.destroy();
    if (!exchange.awaitsClient) return;
    exchange.problem = `the client did nothing for ${this.#limits.stallTimeoutMs} ms`;
    if (exchange.status === 0) {
      exchange.status = 408;
      socket.write(rawProblem(new Problem(408, "stalled", exchange.problem), exchange.request.headers.accept));
    }
    socket.destroy();
  }
}

function isHealth({ url = "", method }: IncomingMessage): boolean {
  if (!url.startsWith(HEALTH_PATH) || (method !== "GET" && method !== "HEAD")) return false;
  return url.length === HEALTH_PATH.length || url[HEALTH_PATH.length] === "?";
}
