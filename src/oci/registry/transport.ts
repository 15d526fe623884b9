import type { IncomingHttpHeaders } from "node:http";
import type { Readable } from "node:stream";
import { Agent, type Dispatcher, EnvHttpProxyAgent, request } from "undici";
import { UsageError } from "../../errors.js";
import { log } from "../../log.js";
import { isLoopback } from "./hosts.js";
import type { NetworkLimits } from "./network-limits.js";
import { certificateAuthorities } from "./trust.js";

/** One HTTP request. */
export interface HttpRequest {
  method?: "GET" | "HEAD" | "POST" | "PUT" | "PATCH";
  headers?: Record<string, string>;
  /** A stream is opened for every exchange anew: redirects and refused tokens cost one. Its length has to be in `headers`. */
  body?: string | Uint8Array | ((signal: AbortSignal | undefined) => Promise<Readable>);
  /** Milliseconds to wait for the answer once all is sent, where the usual ones are too few. */
  answerMs?: number;
  signal?: AbortSignal | undefined;
}

/** The answer to a request. Its body has to be read or dumped. */
export interface HttpResponse {
  status: number;
  headers: IncomingHttpHeaders;
  body: Dispatcher.ResponseData["body"];
  /** Where the answer came from, after redirects. */
  url: URL;
}

/** Connections to registries, their token servers and storage. They end when this is disposed of. */
export class Transport implements AsyncDisposable {
  readonly limits: NetworkLimits;
  readonly #closing = new AbortController();
  readonly #dispatchers = new Map<string, Promise<Dispatcher>>();

  constructor(limits: NetworkLimits) {
    this.limits = limits;
  }

  /** Aborts when this is disposed of: for work that is not one caller's alone. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** Does one exchange; redirects are not followed, statuses not judged. */
  async request(
    url: URL,
    { method = "GET", headers = {}, body, answerMs, signal }: HttpRequest,
  ): Promise<HttpResponse> {
    const dispatcher = await this.#dispatcherFor(url);
    const start = performance.now();
    const content = typeof body === "function" ? await body(signal) : body;
    const response = await request(url, {
      dispatcher,
      method,
      headers: { "accept-encoding": "identity", "user-agent": "supermachine", ...headers },
      ...(content === undefined ? {} : { body: content }),
      ...(answerMs === undefined ? {} : { headersTimeout: answerMs }),
      ...(signal === undefined ? {} : { signal }),
    });
    // A body that fails while nobody reads it must not end the process.
    response.body.on("error", () => undefined);
    log("debug", "registry", `${method} ${shownUrl(url)}: ${response.statusCode} after ${since(start)}`);
    return { status: response.statusCode, headers: response.headers, body: response.body, url };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    const opened = await Promise.allSettled(this.#dispatchers.values());
    this.#dispatchers.clear();
    await Promise.all(opened.map((each) => (each.status === "fulfilled" ? each.value.destroy() : undefined)));
  }

  #dispatcherFor(url: URL): Promise<Dispatcher> {
    const known = this.#dispatchers.get(url.origin);
    if (known !== undefined) return known;
    const made = this.#makeDispatcher(url);
    this.#dispatchers.set(url.origin, made);
    return made;
  }

  async #makeDispatcher(url: URL): Promise<Dispatcher> {
    const { connectMs, stallMs } = this.limits;
    const ca = url.protocol === "https:" ? await certificateAuthorities(url.host) : undefined;
    const tls = ca === undefined ? {} : { ca };
    const options = { connect: { timeout: connectMs, ...tls }, headersTimeout: stallMs, bodyTimeout: stallMs };
    // No proxy can reach this machine's own addresses, whatever the environment says.
    if (isLoopback(url.hostname)) return new Agent(options);
    try {
      return new EnvHttpProxyAgent({ ...options, requestTls: { timeout: connectMs, ...tls } });
    } catch {
      // The reason would show the setting, and proxies' settings hold passwords.
      throw new UsageError("HTTP_PROXY or HTTPS_PROXY is not a proxy's URL", {
        hint: "Write http://HOST:PORT, or unset it.",
      });
    }
  }
}

/** Of the specification's own paths all of it; elsewhere path and query are often a secret in themselves. */
function shownUrl({ origin, pathname }: URL): string {
  return pathname.startsWith("/v2/") ? origin + pathname : `${origin}/...`;
}

function since(start: number): string {
  return `${(performance.now() - start).toFixed(0)} ms`;
}
