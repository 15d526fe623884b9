import type { IncomingHttpHeaders } from "node:http";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type { Agent, buildConnector } from "undici";
import { NetworkError, SupermachineError } from "../../errors.js";
import { log } from "../../log.js";
import { Dialer, type EgressPolicy } from "../../network/index.js";
import { WEB_LIMITS, type WebLimits } from "./limits.js";

const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** Too many requests, and what servers and proxies say when they cannot serve just now. */
const TRANSIENT = new Set([429, 500, 502, 503, 504]);
const BROKEN = /^(?:ECONNRESET|EPIPE|UND_ERR_(?:SOCKET|HEADERS_TIMEOUT|BODY_TIMEOUT|RES_CONTENT_LENGTH_MISMATCH))$/;

export interface WebRequest {
  method?: "GET" | "POST";
  headers?: Readonly<Record<string, string>>;
  body?: Buffer;
  signal?: AbortSignal | undefined;
}

/** An answer, whose body has to be read or destroyed. */
export interface WebResponse {
  status: number;
  headers: IncomingHttpHeaders;
  body: Readable;
  /** Where it came from, after redirects. */
  url: URL;
}

/** Asks web servers for strangers: only those that an egress policy allows, each redirect judged like the first address. No proxy is used. */
export class WebClient implements AsyncDisposable {
  readonly limits: WebLimits;
  readonly dialer: Dialer;
  #agent: Promise<Agent> | undefined;

  /** @throws UsageError when the policy is wrong */
  constructor(policy: EgressPolicy, limits: Partial<WebLimits> = {}) {
    this.dialer = new Dialer(policy);
    this.limits = { ...WEB_LIMITS, ...limits };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#agent)?.destroy();
  }

  /**
   * Does an exchange and uses its answer; again when the connection breaks, also while the answer is used.
   * @throws NetworkError
   */
  async exchange<T>(url: URL, request: WebRequest, use: (response: WebResponse) => Promise<T>): Promise<T> {
    const { attempts, backoffMs } = this.limits;
    for (let attempt = 1; ; attempt++) {
      try {
        const response = await this.#follow(url, request);
        if (!TRANSIENT.has(response.status) || attempt === attempts) return await use(response);
        response.body.destroy();
      } catch (error) {
        request.signal?.throwIfAborted();
        if (SupermachineError.is(error)) throw error;
        const { code = "", message } = error as NodeJS.ErrnoException;
        if (!BROKEN.test(code) || attempt === attempts) {
          throw new NetworkError(`${shownUrl(url)} cannot be fetched: ${reasonOf(code, message)}`, { cause: error });
        }
      }
      log("debug", "remote", `${shownUrl(url)}: try ${attempt} failed`);
      await sleep(backoffMs * 2 ** (attempt - 1), undefined, request.signal ? { signal: request.signal } : {});
    }
  }

  async #follow(start: URL, request: WebRequest): Promise<WebResponse> {
    let url = start;
    for (let hops = 0; ; hops++) {
      const response = await this.#send(url, request, url.origin === start.origin);
      const { location } = response.headers;
      if (!REDIRECTS.has(response.status) || location === undefined || request.method === "POST") return response;
      response.body.destroy();
      if (hops === this.limits.redirects) {
        throw new NetworkError(`${shownUrl(start)} redirects more than ${this.limits.redirects} times`);
      }
      url = targetOf(location, url);
    }
  }

  /** What says who asks is for the first server alone. */
  async #send(
    url: URL,
    { method = "GET", headers = {}, body, signal }: WebRequest,
    isFirst: boolean,
  ): Promise<WebResponse> {
    const { request } = await import("undici");
    this.#agent ??= this.#open();
    const { authorization = basicOf(url), ...rest } = headers;
    const response = await request(plain(url), {
      dispatcher: await this.#agent,
      method,
      headers: {
        "accept-encoding": "identity",
        "user-agent": "supermachine",
        ...rest,
        ...(isFirst && authorization !== undefined && { authorization }),
      },
      ...(body && { body }),
      ...(signal && { signal }),
    });
    // A body that fails while nobody reads it must not end the process.
    response.body.on("error", () => undefined);
    return { status: response.statusCode, headers: response.headers, body: response.body, url };
  }

  async #open(): Promise<Agent> {
    const { Agent, buildConnector } = await import("undici");
    const { connectMs, stallMs } = this.limits;
    const secure = buildConnector({ timeout: connectMs, allowH2: false });
    const connect: buildConnector.connector = (options, callback) => {
      const port = Number(options.port) || (options.protocol === "https:" ? 443 : 80);
      this.dialer.dial(options.hostname, port, { timeoutMs: connectMs }).then(
        (socket) => {
          if (options.protocol === "https:") secure({ ...options, httpSocket: socket }, callback);
          else callback(null, socket);
        },
        (error: Error) => callback(error, null),
      );
    };
    return new Agent({ connect, headersTimeout: stallMs, bodyTimeout: stallMs });
  }
}

/** A URL for people: without what may be a secret. */
export function shownUrl(url: URL): string {
  const { origin, pathname } = url;
  return `${origin}${pathname}`;
}

function targetOf(location: string, from: URL): URL {
  const next = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  if (next?.protocol === "https:" || next?.protocol === "http:") return next;
  throw new NetworkError(`${shownUrl(from)} redirects to something that is no HTTP URL`);
}

function basicOf({ username, password }: URL): string | undefined {
  if (username === "" && password === "") return undefined;
  const text = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return `Basic ${Buffer.from(text).toString("base64")}`;
}

function plain(url: URL): URL {
  const copy = new URL(url);
  copy.username = "";
  copy.password = "";
  copy.hash = "";
  return copy;
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNRESET: "the connection broke",
  EPIPE: "the connection broke",
  UND_ERR_SOCKET: "the connection broke",
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: "the connection broke",
  UND_ERR_CONNECT_TIMEOUT: "it did not accept a connection in time",
  UND_ERR_HEADERS_TIMEOUT: "it did not answer in time",
  UND_ERR_BODY_TIMEOUT: "it stopped sending",
};

function reasonOf(code: string, message: string): string {
  const known = REASONS[code];
  if (known !== undefined) return known;
  if (/CERT|SELF_SIGNED|UNABLE_TO_|ISSUER/.test(code)) return `its certificate is not accepted (${code})`;
  return code === "" ? message : `${message} (${code})`;
}
