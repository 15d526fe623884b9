import { createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type EgressEvent, Image, type Vm } from "../../src/index.js";
import { debianPythonImage } from "../support/images.js";
import { remainingWorkers } from "../support/leftovers.js";

let image: Image;
let neighbour: Vm;
beforeAll(async () => {
  const { archive } = await debianPythonImage();
  image = await Image.fromOci(`oci-archive:${archive}`);
  neighbour = await image.start();
});
afterAll(async () => {
  await neighbour.stop();
  expect(await remainingWorkers()).toEqual([]);
});

const python = (vm: Vm, script: string) => vm.run(["python3", "-c", script], { timeoutMs: 120_000 });
const alive = async (vm: Vm) => expect((await vm.run(["echo", "alive"])).stdout).toBe("alive\n");

describe("root in a guest", () => {
  test("that floods new connections opens none of them, and fills no memory of the host", async () => {
    const events: EgressEvent[] = [];
    await using vm = await image.start({ egress: "public", onEgress: (event) => events.push(event) });
    const before = process.memoryUsage().rss;
    const flood = [
      "import socket, resource; resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))",
      "all = []",
      "for i in range(6000):",
      " s = socket.socket(); s.setblocking(False); s.connect_ex((f'10.{i >> 8}.{i & 255}.1', 80)); all.append(s)",
      "u = socket.socket(type=socket.SOCK_DGRAM)",
      "for i in range(20000):",
      " try: u.sendto(b'x' * 1400, (f'10.{i >> 8}.{i & 255}.2', 5000))",
      " except OSError: pass",
    ].join("\n");
    expect((await python(vm, flood)).stderr).toBe("");
    await alive(vm);
    await alive(neighbour);
    expect(events.length).toBeGreaterThan(1_000);
    expect(events.filter(({ allowed }) => allowed)).toEqual([]);
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * 2 ** 20);
  });

  test("that forges packets, with any source and of any form, reaches nothing by it", async () => {
    const reached: string[] = [];
    const server = createServer((socket) => {
      reached.push(String(socket.remoteAddress));
      socket.destroy();
    }).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as { port: number };
    const events: EgressEvent[] = [];
    await using vm = await image.start({ egress: "all", onEgress: (event) => events.push(event) });
    const forge = [
      "import socket, struct, random",
      "raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)",
      "def syn(src, dst, flags=2):",
      ` tcp = struct.pack('!HHIIBBHHH', random.randrange(1024, 65535), ${port}, 7, 0, 0x50, flags, 65535, 0, 0)`,
      " ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 40, 1, 0, 64, 6, 0, socket.inet_aton(src), socket.inet_aton(dst))",
      " try: raw.sendto(ip + tcp, (dst, 0))",
      " except OSError: pass",
      "for src in '127.0.0.1', '10.0.2.2', '10.0.2.3', '8.8.8.8', '0.0.0.0', '255.255.255.255':",
      " for dst in '10.0.2.2', '127.0.0.1', '0.0.0.0', '10.0.2.15': syn(src, dst)",
      "frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); frames.bind(('eth0', 0x800))",
      "peer = b'\\xff' * 6; random.seed(3)",
      "for i in range(5000):",
      " kind = random.choice([b'\\x08\\x00\\x45', b'\\x86\\xdd\\x60', b'\\x08\\x06', b'\\x81\\x00'])",
      " frames.send(peer + b'\\2\\0\\0\\0\\0\\1' + kind + random.randbytes(random.randrange(1, 1400)))",
    ].join("\n");
    expect((await python(vm, forge)).stderr).toBe("");
    await alive(vm);
    await alive(neighbour);
    expect(reached).toEqual([]);
    expect(events.filter(({ allowed, address }) => allowed && /^(127|0)\.|^10\.0\.2\./.test(address ?? ""))).toEqual(
      [],
    );
    server.close();
  });

  test("that takes its own network apart harms itself alone, and is still under control", async () => {
    await using vm = await image.start({ egress: "public" });
    const apart = [
      "import socket, struct",
      "index = socket.if_nametoindex('eth0')",
      "link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)",
      "body = struct.pack('BxHiII', 0, 0, index, 0, 0)",
      "link.send(struct.pack('IHHII', 16 + len(body), 17, 5, 1, 0) + body)",
      "print(struct.unpack_from('i', link.recv(1024), 16)[0], [name for _, name in socket.if_nameindex()])",
    ].join("\n");
    expect((await python(vm, apart)).stdout).toBe("0 ['lo']\n");
    const tries =
      "import socket\ntry: socket.create_connection(('10.0.2.2', 80), 5)\nexcept OSError as e: print(e.strerror)";
    expect((await python(vm, tries)).stdout).toBe("Network is unreachable\n");
    await alive(vm);
    await alive(neighbour);
  });
});
