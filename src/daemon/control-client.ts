import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import type { Duplex } from "node:stream";
import { json } from "node:stream/consumers";
import { UsageError, VmError } from "../errors.js";
import { EXEC_PROTOCOL } from "./control-server.js";

/** Longer than any orderly stop takes. */
const DEFAULT_TIMEOUT_MS = 60_000;

interface AskOptions {
  body?: unknown;
  timeoutMs?: number;
  signal?: AbortSignal | undefined;
}

/** Asks the supervisor that listens on `socketPath`. @throws VmError when it does not answer or cannot do it, UsageError */
export async function ask(socketPath: string, method: "GET" | "POST", path: string, options: AskOptions = {}) {
  const { body, timeoutMs = DEFAULT_TIMEOUT_MS, signal } = options;
  const limit = AbortSignal.timeout(timeoutMs);
  const text = body === undefined ? "" : JSON.stringify(body);
  const asking = request({
    socketPath,
    method,
    path,
    headers: { "content-type": "application/json", "content-length": Buffer.byteLength(text) },
    signal: signal ? AbortSignal.any([signal, limit]) : limit,
  });
  asking.end(text);
  const response = await responseTo(asking, signal);
  const answer = (await json(response)) as { message?: string } | null;
  if (response.statusCode === 200) return answer as unknown;
  const message = answer?.message ?? `the VM's supervisor answered ${response.statusCode}`;
  throw response.statusCode === 400 ? new UsageError(message) : new VmError(message);
}

/** Opens a raw connection for a command. */
export async function openExec(socketPath: string, signal?: AbortSignal): Promise<Duplex> {
  const asking = request({
    socketPath,
    path: "/exec",
    headers: { connection: "Upgrade", upgrade: EXEC_PROTOCOL },
    ...(signal && { signal }),
  });
  asking.end();
  try {
    const [, socket] = (await once(asking, "upgrade")) as [IncomingMessage, Duplex];
    socket.on("error", () => undefined);
    return socket;
  } catch (cause) {
    signal?.throwIfAborted();
    throw unreachable(cause);
  }
}

/** Whether an error of {@link ask} says that nobody listens on the socket. */
export function isNobody(error: unknown): boolean {
  const cause = error instanceof VmError ? error.cause : undefined;
  return cause instanceof Error && "code" in cause && (cause.code === "ECONNREFUSED" || cause.code === "ENOENT");
}

async function responseTo(asking: ClientRequest, signal: AbortSignal | undefined): Promise<IncomingMessage> {
  try {
    const [response] = (await once(asking, "response")) as [IncomingMessage];
    return response;
  } catch (cause) {
    signal?.throwIfAborted();
    throw unreachable(cause);
  }
}

function unreachable(cause: unknown): VmError {
  return new VmError("the VM's supervisor does not answer", {
    cause,
    hint: "`supermachine ps --all` shows what became of it.",
  });
}
