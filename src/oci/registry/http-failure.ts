import { ImageError, ImageNotFoundError, RegistryAuthError, RegistryUnreachableError } from "../../errors.js";
import { collect } from "../file-tree.js";
import type { HttpResponse } from "./transport.js";

const MAX_ERROR_BYTES = 64 * 1024;
/** Statuses that pass: too many requests, and what servers and proxies say when they cannot serve just now. */
const TRANSIENT_STATUSES = new Set([429, 500, 502, 503, 504]);
/** A connection that was made and broke. One that cannot be made is not tried again: a person waits for the message. */
const TRANSIENT_CODES = new Set([
  "ECONNRESET",
  "EPIPE",
  "ECONNABORTED",
  "ETIMEDOUT",
  "UND_ERR_SOCKET",
  "UND_ERR_HEADERS_TIMEOUT",
  "UND_ERR_BODY_TIMEOUT",
  "UND_ERR_RES_CONTENT_LENGTH_MISMATCH",
  "UND_ERR_RESPONSE_STATUS_CODE",
  "UPLOAD_STALLED",
]);

const UNREACHABLE_CODES = new Set([
  ...["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"],
]);

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "the connection was refused",
  ENOTFOUND: "there is no host of that name",
  EAI_AGAIN: "its name cannot be looked up",
  EHOSTUNREACH: "there is no route to it",
  ENETUNREACH: "there is no network",
  ECONNRESET: "the connection broke",
  EPIPE: "the connection broke",
  UND_ERR_SOCKET: "the connection broke",
  UND_ERR_CONNECT_TIMEOUT: "it did not accept a connection in time",
  ETIMEDOUT: "it did not accept a connection in time",
  UND_ERR_HEADERS_TIMEOUT: "it did not answer in time",
  UND_ERR_BODY_TIMEOUT: "it stopped sending",
  UPLOAD_STALLED: "it stopped reading",
};

/** An answer with a status that was not wanted. It does not leave this folder. */
export class HttpFailure extends Error {
  readonly status: number;
  /** Who answered. */
  readonly host: string;
  /** The first error code of the registry, such as `MANIFEST_UNKNOWN`. Its message is not kept: it could echo a secret. */
  readonly registryCode: string | undefined;
  readonly retryAfter: string | undefined;

  constructor(response: Pick<HttpResponse, "status" | "headers" | "url">, registryCode: string | undefined) {
    super(`${response.url.host} answered ${response.status}${registryCode === undefined ? "" : ` (${registryCode})`}`);
    this.status = response.status;
    this.host = response.url.host;
    this.registryCode = registryCode;
    this.retryAfter = response.headers["retry-after"];
  }
}

/** Makes a failure of an answer, whose body is used up. */
export async function httpFailure(response: HttpResponse): Promise<HttpFailure> {
  const bytes = await collect(response.body, MAX_ERROR_BYTES).catch(() => Buffer.alloc(0));
  return new HttpFailure(response, registryCode(bytes));
}

/** A body that ended before all of it was there, though nobody reported a broken connection. */
export class PrematureEnd extends Error {
  readonly code = "UND_ERR_SOCKET";
}

/** An upload of which nothing was taken for too long. */
export class UploadStalled extends Error {
  readonly code = "UPLOAD_STALLED";
}

/** Whether the same request may succeed when it is made again. */
export function isTransient(error: unknown): boolean {
  if (error instanceof HttpFailure) return TRANSIENT_STATUSES.has(error.status);
  return TRANSIENT_CODES.has(codeOf(error));
}

/** Whether no connection could be made at all. */
export function isUnreachable(error: unknown): boolean {
  return UNREACHABLE_CODES.has(codeOf(error));
}

/** The public error for whatever made a request fail. `what` is what was wanted. `problem` is why there are no credentials. */
export function publicError(error: unknown, what: string, registry: string, problem?: string): Error {
  if (error instanceof HttpFailure) return ofStatus(error, what, registry, problem);
  return connectionError(error, `${what} cannot be fetched from ${registry}`);
}

/** The public error for a connection that could not be made, or broke; others are given back as they are. */
export function connectionError(error: unknown, failed: string): Error {
  const code = codeOf(error);
  if (code === "" || code.startsWith("ERR_SUPERMACHINE_")) return error as Error;
  const { reason, hint } = ofConnection(code, error as Error);
  return new RegistryUnreachableError(`${failed}: ${reason}`, { hint, cause: error });
}

function ofStatus(failure: HttpFailure, what: string, registry: string, problem: string | undefined): Error {
  const { status, host, registryCode, message } = failure;
  if (status === 401 || status === 403) {
    const why = status === 401 ? "it does not exist, or wants other credentials" : "access is denied";
    const hint = `Check the name, and the credentials (docker login ${registry}).`;
    return new RegistryAuthError(`${what} cannot be fetched: ${message}: ${why}`, {
      hint: problem === undefined ? hint : `${hint} ${problem}`,
    });
  }
  if (status === 404) {
    const why = registryCode === "NAME_UNKNOWN" ? `${host} has no such repository` : `${host} does not have it`;
    return new ImageNotFoundError(`${what} does not exist: ${why}`, { hint: "Check the name and the tag." });
  }
  if (!TRANSIENT_STATUSES.has(status)) return new ImageError(`${what} cannot be fetched: ${message}`);
  const hint =
    status === 429 ? "The registry limits requests; wait, or log in." : "The registry has a problem; try later.";
  return new RegistryUnreachableError(`${what} cannot be fetched: ${message}, again and again`, { hint });
}

function ofConnection(code: string, error: Error): { reason: string; hint: string } {
  if (/CERT|SELF_SIGNED|UNABLE_TO_|ISSUER/.test(code)) {
    return {
      reason: `its certificate is not accepted (${code})`,
      hint: "For a registry with an authority of its own, set SUPERMACHINE_REGISTRY_CA to the file of its certificate.",
    };
  }
  if (code === "EPROTO" || code.startsWith("ERR_SSL_") || code.startsWith("HPE_")) {
    return {
      reason: `it does not speak the expected protocol (${code})`,
      hint: "For a registry that speaks plain HTTP, add it to SUPERMACHINE_INSECURE_REGISTRIES.",
    };
  }
  const hint = "Check the registry's name and the network; proxies come from HTTPS_PROXY and NO_PROXY.";
  return { reason: REASONS[code] ?? `${error.message} (${code})`, hint };
}

/** What went wrong in a few words, without secrets. */
export function reasonOf(error: unknown): string {
  return error instanceof HttpFailure ? error.message : (REASONS[codeOf(error)] ?? `it failed (${codeOf(error)})`);
}

export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

/** The form is the distribution specification's; only what looks like a code of it is taken. */
function registryCode(bytes: Buffer): string | undefined {
  try {
    const code: unknown = JSON.parse(bytes.toString("utf8"))?.errors?.[0]?.code;
    return typeof code === "string" && /^[A-Z][A-Z_]{0,40}$/.test(code) ? code : undefined;
  } catch {
    return undefined;
  }
}
