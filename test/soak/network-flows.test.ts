import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { afterAll, expect, test } from "vitest";
import { Image } from "../../src/index.js";
import { debianPythonImage } from "../support/images.js";
import { openDescriptors, remainingWorkers } from "../support/leftovers.js";

const [CONNECTIONS, FLOWS] = [3_000, 1_000];

afterAll(async () => {
  expect(await remainingWorkers()).toEqual([]);
});

test(`${CONNECTIONS} connections and ${FLOWS} flows of datagrams at a time carry what is theirs, and leave nothing`, async () => {
  const image = await Image.fromOci(`oci-archive:${(await debianPythonImage()).archive}`, { memoryMiB: 512 });
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.pipe(socket);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const udp = createSocket("udp4", (bytes, { port, address }) => udp.send(bytes, port, address)).bind(0, "127.0.0.1");
  await once(udp, "listening");
  const { port } = server.address() as { port: number };
  const before = openDescriptors();
  {
    await using vm = await image.start({ egress: { allow: ["host.supermachine.internal"] } });
    const script = [
      "import socket, resource; resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))",
      `tcp = [socket.create_connection(('10.0.2.2', ${port}), 60) for i in range(${CONNECTIONS})]`,
      "for i, s in enumerate(tcp): s.sendall(b'%9d' % i * 100)",
      "print(sum(s.recv(900, socket.MSG_WAITALL) == b'%9d' % i * 100 for i, s in enumerate(tcp)))",
      "right = 0",
      "udp = [socket.socket(type=socket.SOCK_DGRAM) for i in range(1000)]",
      "def ask(i, tries=20):",
      " s = udp[i]; s.settimeout(1)",
      " for _ in range(tries):",
      `  s.sendto(b'%d' % i, ('10.0.2.2', ${udp.address().port}))`,
      "  try:",
      "   if s.recv(99) == b'%d' % i: return 1",
      "  except OSError: pass",
      " return 0",
      // Twice, so that the first ones are used again when all are there.
      `print(sum(ask(i) for i in range(${FLOWS})), sum(ask(i) for i in range(${FLOWS})))`,
    ].join("\n");
    const { stdout, stderr } = await vm.run(["python3", "-c", script], { timeoutMs: 900_000 });
    expect(stderr + stdout).toBe(`${CONNECTIONS}\n${FLOWS} ${FLOWS}\n`);
    expect((await vm.run(["echo", "alive"])).stdout).toBe("alive\n");
  }
  for (const socket of sockets) socket.destroy();
  await expect.poll(openDescriptors).toBeLessThanOrEqual(before);
  server.close();
  udp.close();
});
