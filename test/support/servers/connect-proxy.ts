import { createServer } from "node:http";
import { connect } from "node:net";
import { listen, type TestServer } from "./listen.js";

/** An HTTP proxy that makes tunnels (CONNECT) to the loopback, whatever the name; `asked` is where clients wanted to go. */
export async function connectProxy(asked: string[]): Promise<TestServer> {
  const proxy = createServer((_request, response) => response.writeHead(405).end());
  proxy.on("connect", (request, client, head) => {
    asked.push(request.url ?? "");
    const server = connect(Number(request.url?.split(":")[1]), "127.0.0.1", () => {
      client.write("HTTP/1.1 200 Connection established\r\n\r\n");
      server.write(head);
      client.pipe(server).pipe(client);
    });
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const)
      one.on("error", () => other.destroy()).on("close", () => other.destroy());
  });
  return listen(proxy);
}
