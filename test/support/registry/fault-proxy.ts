import { createServer, type IncomingHttpHeaders, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A request as the proxy saw it. */
export interface Seen {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
}

/** Takes a request in the place of the registry behind, or lets it pass by giving false. */
export type Fault = (seen: Seen, response: ServerResponse, pass: () => Promise<Passed>) => boolean | Promise<boolean>;

/** What the registry behind answered. */
export interface Passed {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** A reverse proxy in front of a registry that does to it what networks and servers do. */
export interface FaultProxy extends AsyncDisposable {
  host: string;
  seen: Seen[];
  /** What is done to requests; the first fault that takes one decides. */
  faults: Fault[];
}

export async function startFaultProxy(target: number): Promise<FaultProxy> {
  const proxy = { seen: [] as Seen[], faults: [] as Fault[] };
  const server = createServer((incoming, response) => {
    void handle(incoming, response).catch(() => response.destroy());
  });
  const handle = async (incoming: IncomingMessage, response: ServerResponse) => {
    const seen = { method: incoming.method ?? "", path: incoming.url ?? "", headers: incoming.headers };
    proxy.seen.push(seen);
    const pass = () => forward(target, seen, incoming);
    for (const fault of proxy.faults) {
      if (!(await fault(seen, response, pass))) continue;
      incoming.resume();
      return;
    }
    const { status, headers, body } = await pass();
    response.writeHead(status, headers).end(body);
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(proxy, {
    host: `localhost:${port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}

function forward(port: number, { method, path, headers }: Seen, incoming: IncomingMessage): Promise<Passed> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: "127.0.0.1", port, method, path, headers, agent: false }, async (answer) => {
      const chunks: Buffer[] = [];
      for await (const chunk of answer) chunks.push(chunk as Buffer);
      resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(chunks) });
    });
    outgoing.once("error", reject);
    incoming.pipe(outgoing);
  });
}

/** Does it to the first `times` requests that `when` holds for. */
export function firstTimes(times: number, when: (seen: Seen) => boolean, fault: Fault): Fault {
  let left = times;
  return (seen, response, pass) => {
    if (left === 0 || !when(seen)) return false;
    left--;
    return fault(seen, response, pass);
  };
}

export const isManifest = ({ path }: Pick<Seen, "path">) => path.includes("/manifests/");
export const isUpload = ({ method, path }: Pick<Seen, "method" | "path">) =>
  method === "PUT" && path.includes("/blobs/uploads/");
export const isBlob = ({ path }: Pick<Seen, "path">) => path.includes("/blobs/");

/** Answers with a status and nothing from the registry. */
export function status(code: number, headers: Record<string, string> = {}): Fault {
  return (_seen, response) => {
    response.writeHead(code, headers).end();
    return true;
  };
}

/** Breaks the connection after so many bytes of the request. */
export function breakRequestAfter(bytes: number): Fault {
  return (_seen, response) =>
    new Promise((resolve) => {
      let read = 0;
      response.req.on("data", (chunk: Buffer) => {
        read += chunk.length;
        if (read < bytes) return;
        response.req.destroy();
        resolve(true);
      });
    });
}

/** Takes so many bytes of the request and then nothing, with the connection left open. */
export function stallRequestAfter(bytes: number): Fault {
  return (_seen, response) =>
    new Promise((resolve) => {
      let read = 0;
      response.req.on("data", (chunk: Buffer) => {
        read += chunk.length;
        if (read >= bytes) response.req.pause();
      });
      response.req.once("close", () => resolve(true));
    });
}

/** Breaks the connection after so many bytes of the registry's answer. */
export function breakAfter(bytes: number): Fault {
  return async (_seen, response, pass) => {
    const { status: code, headers, body } = await pass();
    response.writeHead(code, headers);
    response.write(body.subarray(0, bytes), () => setImmediate(() => response.destroy()));
    return true;
  };
}

/** Sends so many bytes of the answer and then nothing, with the connection left open. */
export function stallAfter(bytes: number): Fault {
  return async (_seen, response, pass) => {
    const { status: code, headers, body } = await pass();
    response.writeHead(code, headers);
    response.write(body.subarray(0, bytes));
    return true;
  };
}

/** Changes the registry's answer. */
export function change(edit: (passed: Passed) => Partial<Passed>): Fault {
  return async (_seen, response, pass) => {
    const passed = await pass();
    const { status: code, headers, body } = { ...passed, ...edit(passed) };
    response.writeHead(code, headers).end(body);
    return true;
  };
}
