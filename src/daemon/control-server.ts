import { once } from "node:events";
import { chmod, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { json } from "node:stream/consumers";
import { SupermachineError, UsageError } from "../errors.js";

/** What a client may ask of a supervisor: by `METHOD /path`, with JSON both ways. The signal aborts when the client goes away. */
export type Routes = Record<string, (body: unknown, signal: AbortSignal) => Promise<unknown>>;

/** The word a client upgrades a connection to, for the raw stream of an exec. */
export const EXEC_PROTOCOL = "supermachine-exec";

const MAX_BODY = 1 << 20;

/** Serves {@link Routes} and exec connections on a socket that only this user can reach. */
export async function serveControl(
  path: string,
  routes: Routes,
  exec: (socket: Duplex) => Promise<void>,
): Promise<Server & AsyncDisposable> {
  // Left by one that was killed; the caller holds the name, so nobody listens there.
  await rm(path, { force: true });
  const server = createServer((request, response) => void answer(routes, request, response));
  server.on("upgrade", (request: IncomingMessage, socket: Duplex) => {
    socket.on("error", () => undefined);
    if (request.headers.upgrade !== EXEC_PROTOCOL) return socket.destroy();
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${EXEC_PROTOCOL}\r\n\r\n`);
    void exec(socket);
    return socket;
  });
  server.listen(path);
  await once(server, "listening");
  await chmod(path, 0o600);
  return server;
}

async function answer(routes: Routes, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const send = (status: number, body: unknown) => {
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body ?? null));
  };
  const gone = new AbortController();
  response.once("close", () => gone.abort(new Error("the client went away")));
  try {
    const route = routes[`${request.method} ${request.url}`];
    if (!route) return send(404, { message: `the supervisor knows no ${request.method} ${request.url}` });
    if (Number(request.headers["content-length"] ?? 0) > MAX_BODY)
      return send(413, { message: "the request is too large" });
    const body = request.headers["content-length"] === "0" || request.method === "GET" ? {} : await json(request);
    send(200, await route(body, gone.signal));
  } catch (error) {
    const known = SupermachineError.is(error);
    const status = error instanceof UsageError ? 400 : 500;
    send(status, {
      message: error instanceof Error ? error.message : String(error),
      code: known ? error.code : undefined,
    });
  }
}
