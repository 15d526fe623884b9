import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

/** Something that answers as docker's and podman's interface does, on a unix socket. */
export interface FakeEngine extends AsyncDisposable {
  /** Paths that were asked for. */
  asked: string[];
}

/** Starts it with archives by image name; `answer` takes requests before them when it gives true. */
export async function startFakeEngine(
  socketPath: string,
  archives: Record<string, Buffer>,
  answer: (request: IncomingMessage, response: ServerResponse) => boolean = () => false,
): Promise<FakeEngine> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? "");
    asked.push(path);
    if (answer(request, response)) return;
    const archive = archives[/^\/images\/(.*)\/get$/.exec(path)?.[1] ?? ""];
    if (archive === undefined) response.writeHead(404).end('{"message":"No such image"}');
    else response.writeHead(200, { "content-type": "application/x-tar" }).end(archive);
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(socketPath, resolve));
  return {
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
