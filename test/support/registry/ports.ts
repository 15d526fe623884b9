import { connect, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** A port of the loopback that nobody listens on just now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port was given");
  return address.port;
}

/** Waits until something listens; gives up after ten seconds, or when `ended` says that it never will. */
export async function untilListening(port: number, ended: () => boolean): Promise<void> {
  for (let tries = 0; tries < 500 && !ended(); tries++) {
    if (await accepts(port)) return;
    await sleep(20);
  }
  throw new Error(`nothing listens on port ${port}`);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("error", () => resolve(false));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}
