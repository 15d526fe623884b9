import { createReadStream, statSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { createServer as createSecureServer, type ServerOptions } from "node:https";
import { join, normalize } from "node:path";
import { listen, type TestServer } from "./listen.js";

/** Serves the files of a folder, with `index.html` for a folder in it; what is posted comes back. */
export function folderServer(root: string, tls?: ServerOptions): Promise<TestServer> {
  const answer: RequestListener = (request, response) => {
    if (request.method === "POST") {
      request.pipe(response);
      return;
    }
    const path = join(root, normalize(decodeURIComponent(request.url ?? "/").replace(/[?#].*$/, "")));
    const file = path.endsWith("/") ? join(path, "index.html") : path;
    const stats = statSync(file, { throwIfNoEntry: false });
    response.writeHead(stats?.isFile() ? 200 : 404, {
      "content-length": stats?.isFile() ? stats.size : 0,
      ...(file.endsWith(".html") && { "content-type": "text/html" }),
    });
    if (stats?.isFile()) createReadStream(file).pipe(response);
    else response.end();
  };
  return listen(tls ? createSecureServer(tls, answer) : createServer(answer));
}
