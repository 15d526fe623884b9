import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import { KEY_HEADER } from "./remote-worker.js";

/** They are about one connection, not about the message (RFC 9110, section 7.6.1), or are made anew here. */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
/** The edge has answered `Expect: 100-continue` itself. */
const NOT_FORWARDED = new Set([...HOP_BY_HOP, "expect", "http2-settings", KEY_HEADER]);
const FORWARDED = new Set([
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-forwarded-port",
]);

/**
 * What a worker is told in the headers of a request, as name, value, name, value.
 * @param trusted whether who connects is a proxy whose own X-Forwarded-* are to be believed
 */
export function requestHeaders(request: IncomingMessage, trusted: boolean): string[] {
  const { rawHeaders } = request;
  const dropped = namedByConnection(request.headers.connection);
  const headers: string[] = [];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? "";
    const lower = name.toLowerCase();
    if (NOT_FORWARDED.has(lower) || FORWARDED.has(lower) || dropped?.has(lower)) continue;
    headers.push(name, rawHeaders[i + 1] ?? "");
  }
  headers.push(...forwardedHeaders(request, trusted));
  return headers;
}

/** The address of the client, as the edge in front says it where it is trusted. */
export function clientOf(request: IncomingMessage, trusted: boolean): string {
  const told = trusted ? request.headers["x-forwarded-for"]?.toString().split(",").at(-1)?.trim() : undefined;
  return told ?? request.socket.remoteAddress ?? "";
}

/** What a client is told of the headers of an answer, the bytes as they were. */
export function responseHeaders(raw: readonly (Buffer | string)[]): string[] {
  const text = raw.map((each) => (typeof each === "string" ? each : each.toString("latin1")));
  let dropped: Set<string> | undefined;
  for (let i = 0; i < text.length; i += 2) {
    if (text[i]?.toLowerCase() === "connection") dropped = namedByConnection(text[i + 1]);
  }
  const headers: string[] = [];
  for (let i = 0; i < text.length; i += 2) {
    const name = text[i] ?? "";
    const lower = name.toLowerCase();
    if (HOP_BY_HOP.has(lower) || dropped?.has(lower)) continue;
    headers.push(name, text[i + 1] ?? "");
  }
  return headers;
}

function forwardedHeaders(request: IncomingMessage, trusted: boolean): string[] {
  const { socket, headers } = request;
  const isTls = (socket as Partial<TLSSocket>).encrypted === true;
  const own = { for: socket.remoteAddress, proto: isTls ? "https" : "http", port: socket.localPort };
  const told = (name: string) => (trusted ? headers[name]?.toString() : undefined);
  const chain = told("x-forwarded-for") ?? own.for ?? "";
  const port = told("x-forwarded-port") ?? own.port;
  return [
    ...(chain === "" ? [] : ["X-Forwarded-For", chain]),
    ...["X-Forwarded-Host", told("x-forwarded-host") ?? headers.host ?? ""],
    ...["X-Forwarded-Proto", told("x-forwarded-proto") ?? own.proto],
    ...(port === undefined ? [] : ["X-Forwarded-Port", String(port)]),
  ];
}

function namedByConnection(value: string | undefined): Set<string> | undefined {
  if (value === undefined || value === "keep-alive" || value === "close") return undefined;
  return new Set(value.split(",").map((name) => name.trim().toLowerCase()));
}
