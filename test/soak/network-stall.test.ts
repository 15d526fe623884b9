import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { Readable } from "node:stream";
import { afterAll, expect, test } from "vitest";
import { Image, type Vm } from "../../src/index.js";
import { debianPythonImage } from "../support/images.js";
import { remainingWorkers } from "../support/leftovers.js";

afterAll(async () => {
  expect(await remainingWorkers()).toEqual([]);
});

const alive = async (vm: Vm) => expect((await vm.run(["echo", "alive"])).stdout).toBe("alive\n");

function* zeros(): Generator<Buffer> {
  for (;;) yield Buffer.alloc(65_536);
}

test("a guest that stalls hundreds of connections, in both directions, fills no memory of the host", async () => {
  const image = await Image.fromOci(`oci-archive:${(await debianPythonImage()).archive}`);
  await using neighbour = await image.start();
  const sockets: Socket[] = [];
  // Half of them send without end, the other half never read.
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    if (sockets.length % 2) Readable.from(zeros()).pipe(socket);
    else socket.pause();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  await using vm = await image.start({ egress: { allow: ["host.supermachine.internal"] } });
  const before = process.memoryUsage().rss;
  const stall = [
    "import socket, resource, time; resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))",
    "all = []",
    "try:",
    ` while len(all) < 300: all.append(socket.create_connection(('10.0.2.2', ${port}), 20))`,
    " for s in all: s.setblocking(False)",
    " for s in all:",
    "  try: s.send(b'x' * 300000)",
    "  except OSError: pass",
    "except OSError as e: print(e)",
    "print(len(all)); time.sleep(3)",
  ].join("\n");
  expect((await vm.run(["python3", "-c", stall], { timeoutMs: 120_000 })).stdout).toBe("300\n");
  expect(process.memoryUsage().rss - before).toBeLessThan(150 * 2 ** 20);
  await alive(vm);
  await alive(neighbour);
  for (const socket of sockets) socket.destroy();
  server.close();
});
