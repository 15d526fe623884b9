import { once } from "node:events";
import { createServer, type Server, type ServerOptions } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import type { SecureContext } from "node:tls";
import { NetworkError, UsageError } from "../errors.js";
import { Problem, type ProblemCode, rawProblem } from "./problem.js";
import { localCertificates, type TlsFiles } from "./tls/index.js";

export const DEFAULT_PORT = 8_080;
export const LOOPBACK = "127.0.0.1";
const BUFFER_BYTES = 65_536;
/** How often Node looks for connections whose time is over. */
const CHECK_MS = 1_000;

/** Where an edge listens. */
export interface ListenOptions {
  /** The port on the host, 8080 by default; 0 picks a free one. */
  port?: number | undefined;
  /** The address on the host; 127.0.0.1 by default, so that only this host can connect. */
  host?: string | undefined;
  /**
   * Speaks TLS: with this certificate chain and private key, both in PEM, or with certificates that a local authority makes for
   * `localhost` and every `NAME.localhost`. Clients have to trust {@link authorityPath}.
   */
  tls?: TlsFiles | "autogen" | undefined;
  /**
   * Shares the port with edges of other processes of this user and home, as long as all speak TLS or none does: each service is reached
   * under its name, by whichever process has the port. Otherwise, as by default, a port that is in use is an error.
   */
  shared?: boolean | undefined;
}

/** What clients are allowed. */
export interface ServerLimits {
  /** How many milliseconds the headers of a request may take to come, 10,000 by default; then 408 is answered. */
  headersTimeoutMs: number;
  /** How many milliseconds a client may neither send more of its request nor take more of its answer; 60,000 by default. */
  stallTimeoutMs: number;
  /** How many milliseconds a connection may stay open without a request; 60,000 by default. */
  keepAliveTimeoutMs: number;
  /** How many bytes the headers of a request may have, 32 KiB by default; for more, 431 is answered. */
  maxHeaderBytes: number;
  /** How many connections there may be at a time, 8,192 by default. */
  maxConnections: number;
}

const LIMITS: Record<keyof ServerLimits, { normal: number; most: number }> = {
  headersTimeoutMs: { normal: 10_000, most: 2 ** 31 - 1 },
  stallTimeoutMs: { normal: 60_000, most: 2 ** 31 - 1 },
  keepAliveTimeoutMs: { normal: 60_000, most: 2 ** 31 - 1 },
  maxHeaderBytes: { normal: 32_768, most: 1 << 20 },
  maxConnections: { normal: 8_192, most: 1 << 20 },
};

/** The limits with their defaults. @throws UsageError that names the option and its value */
export function serverLimits(options: Partial<ServerLimits>): ServerLimits {
  const limits = {} as ServerLimits;
  for (const [name, { normal, most }] of Object.entries(LIMITS) as [
    keyof ServerLimits,
    (typeof LIMITS)["maxHeaderBytes"],
  ][]) {
    const value = options[name] ?? normal;
    if (!(value >= 1 && value <= most)) throw new UsageError(`${name} is ${value}; it is a number from 1 to ${most}`);
    limits[name] = value;
  }
  return limits;
}

/** Listens on a TCP port of the host. @throws NetworkError when that cannot be, UsageError */
export async function listen(
  { port = DEFAULT_PORT, host = LOOPBACK, tls }: ListenOptions,
  limits: ServerLimits,
): Promise<{ server: Server; host: string; port: number; scheme: "http" | "https" }> {
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new UsageError(`port is ${port}; it is a port from 0 to 65535`);
  const files = tls === "autogen" ? await localCertificates() : tls;
  const server = files ? tlsServer(files, limits) : createServer(serverOptions(limits));
  prepare(server, limits);
  try {
    const listening = once(server, "listening");
    server.listen(port, host);
    await listening;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const what = code === "EADDRINUSE" ? "it is in use" : (code ?? String(cause));
    throw new NetworkError(`the port ${port} at ${host} cannot be listened on: ${what}`, {
      cause,
      hint: "Choose another port (--http-port), or 0 for any that is free.",
    });
  }
  return { server, host, port: (server.address() as AddressInfo).port, scheme: tls ? "https" : "http" };
}

function tlsServer({ cert, key, forName }: TlsFiles, limits: ServerLimits): Server {
  const options = {
    ...serverOptions(limits),
    cert,
    key,
    ...(forName && {
      SNICallback: (name: string, done: (error: Error | null, context?: SecureContext) => void) => {
        forName(name).then((context) => done(null, context), done);
      },
    }),
    handshakeTimeout: limits.headersTimeoutMs,
  };
  try {
    return createTlsServer(options);
  } catch (cause) {
    throw new UsageError(`the TLS certificate or its key is of no use: ${(cause as Error).message}`, {
      cause,
      hint: "Both are in PEM, the key without a passphrase, and they belong together.",
    });
  }
}

function serverOptions(limits: ServerLimits): ServerOptions {
  return {
    headersTimeout: limits.headersTimeoutMs,
    // A body may be of any size, and so may take any time; one that stands still is ended by `stallTimeoutMs`.
    requestTimeout: 0,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    maxHeaderSize: limits.maxHeaderBytes,
    connectionsCheckingInterval: Math.min(CHECK_MS, limits.headersTimeoutMs),
    highWaterMark: BUFFER_BYTES,
    noDelay: true,
  };
}

function prepare(server: Server, limits: ServerLimits): void {
  server.maxConnections = limits.maxConnections;
  server.timeout = limits.stallTimeoutMs;
  server.on("tlsClientError", (_error, socket: Duplex) => socket.destroy());
}

/**
 * What cannot be read is answered, so that whoever sent it can find out why.
 * @param answering whether an answer is under way on the connection, into which nothing can be put
 */
export function refuse(error: NodeJS.ErrnoException, socket: Duplex, answering: boolean): void {
  if (answering || !socket.writable || error.code === "ECONNRESET") return void socket.destroy();
  const [status, code, text] = REFUSALS[error.code ?? ""] ?? [400, "bad_request", `this is no HTTP: ${error.message}`];
  socket.on("error", () => undefined).end(rawProblem(new Problem(status, code, text)));
  // The client may go on to send for ever.
  setTimeout(() => socket.destroy(), CHECK_MS).unref();
}

const REFUSALS: Record<string, [status: number, code: ProblemCode, text: string]> = {
  HPE_HEADER_OVERFLOW: [431, "headers_too_large", "the headers are too large"],
  ERR_HTTP_REQUEST_TIMEOUT: [408, "headers_timeout", "the headers did not come in time"],
};
