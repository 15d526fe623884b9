import { once } from "node:events";
import type { AddressInfo, Server } from "node:net";

/** A server of a test's own on 127.0.0.1. */
export interface TestServer extends AsyncDisposable {
  port: number;
}

/** Starts it on a free port; its end does not wait for its clients. */
export async function listen(server: Server): Promise<TestServer> {
  const sockets = new Set<{ destroy(): void }>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
