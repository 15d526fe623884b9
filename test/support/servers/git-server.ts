import { spawn } from "node:child_process";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { listen, type TestServer } from "./listen.js";

/** Serves the bare repositories of a folder as git's own CGI program does, to be cloned and, where they are configured so, pushed to. */
export function gitServer(folder: string): Promise<TestServer> {
  return listen(createServer((request, response) => runBackend(folder, request, response)));
}

function runBackend(folder: string, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? "/", "http://localhost");
  const { "content-type": type, "content-length": length, "content-encoding": encoding } = request.headers;
  const backend = spawn("git", ["http-backend"], {
    env: {
      PATH: process.env.PATH,
      GIT_PROJECT_ROOT: folder,
      GIT_HTTP_EXPORT_ALL: "1",
      REQUEST_METHOD: request.method,
      PATH_INFO: url.pathname,
      QUERY_STRING: url.search.slice(1),
      GIT_PROTOCOL: String(request.headers["git-protocol"] ?? ""),
      ...(type && { CONTENT_TYPE: type }),
      ...(length && { CONTENT_LENGTH: length }),
      ...(encoding && { HTTP_CONTENT_ENCODING: encoding }),
    },
    stdio: ["pipe", "pipe", "inherit"],
  });
  backend.stdin.on("error", () => undefined);
  request.pipe(backend.stdin);
  let head = Buffer.alloc(0);
  backend.stdout.on("data", (chunk: Buffer) => {
    if (response.headersSent) {
      response.write(chunk);
      return;
    }
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf("\r\n\r\n");
    if (end < 0) return;
    const lines = head.toString("latin1", 0, end).split("\r\n");
    const headers = lines.map((line) => line.split(/:\s*/, 2) as [string, string]);
    const status = headers.find(([name]) => name.toLowerCase() === "status");
    response.writeHead(Number.parseInt(status?.[1] ?? "200", 10), headers.filter((each) => each !== status).flat());
    response.write(head.subarray(end + 4));
  });
  backend.stdout.on("end", () => response.end());
}
