import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type EgressEvent, Image, type Vm } from "../../src/index.js";
import { debianPythonImage } from "../support/images.js";
import { remainingWorkers } from "../support/leftovers.js";

const SOURCE = join(import.meta.dirname, "../support/hostile-ebpf.c");
const HOST = "host.supermachine.internal";

let image: Image;
let neighbour: Vm;
let server: Server;
let port: number;
let ebpf: Buffer;
const reached: string[] = [];

beforeAll(async () => {
  ebpf = buildEbpf();
  server = createServer((socket) => {
    reached.push(String(socket.remoteAddress));
    socket.on("error", () => {});
    socket.end("hello");
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  ({ port } = server.address() as { port: number });
  image = await Image.fromOci(`oci-archive:${(await debianPythonImage()).archive}`);
  neighbour = await image.start({ egress: { allow: [HOST] } });
});
afterAll(async () => {
  await neighbour.stop();
  server.close();
  expect(await remainingWorkers()).toEqual([]);
});

const python = (vm: Vm, script: string) => vm.run(["python3", "-c", script], { timeoutMs: 60_000 });
/** Which of these addresses the guest can connect to. */
const reachable = async (vm: Vm, ...addresses: string[]): Promise<string[]> => {
  const script = [
    "import json, socket, threading",
    "reached = []",
    "def attempt(address):",
    ` try: socket.create_connection((address, ${port}), 3); reached.append(address)`,
    " except OSError: pass",
    `all = [threading.Thread(target=attempt, args=(each,)) for each in ${JSON.stringify(addresses)}]`,
    "for each in all: each.start()",
    "for each in all: each.join()",
    "print(json.dumps(reached))",
  ].join("\n");
  return JSON.parse((await python(vm, script)).stdout);
};

/** What a guest must not be able to change: the network of another, and that it answers. */
async function neighbourIsWell(): Promise<void> {
  const fetch = `import socket; print(socket.create_connection(('${HOST}', ${port}), 20).recv(9).decode())`;
  expect((await python(neighbour, fetch)).stdout).toBe("hello\n");
}

describe("root in a guest", () => {
  test("with eBPF of its own, in the place of ours, reaches nothing that it may not", async () => {
    const events: EgressEvent[] = [];
    reached.length = 0;
    await using vm = await image.start({ egress: "public", onEgress: (event) => events.push(event) });
    await vm.writeFile("/tmp/hostile-ebpf", ebpf, { mode: 0o755 });
    for (const what of [["lookup"], ["xdp", "eth0"]]) {
      const running = await vm.exec(["/tmp/hostile-ebpf", ...what, "stay"]);
      const [said] = (await once(running.stdout, "data")) as [Buffer];
      expect(said.toString()).toBe("attached\n");
      expect(await reachable(vm, "10.0.2.2", "127.0.0.1", "169.254.169.254")).toEqual([]);
      await running.kill();
    }
    // The agent's own program and map can be found by their numbers, and taken away.
    expect((await vm.run(["/tmp/hostile-ebpf", "steal"])).stdout).toMatch(/^[1-9]\d* maps, [1-9]\d* links\n$/);
    expect(await reachable(vm, "10.0.2.2", "169.254.169.254")).toEqual([]);
    expect(events.filter(({ allowed }) => allowed)).toEqual([]);
    expect(reached).toEqual([]);
    expect((await vm.run(["echo", "alive"])).stdout).toBe("alive\n");
    await neighbourIsWell();
  });

  test("without routes, and with others in their place, reaches nothing but what the host dials", async () => {
    const events: EgressEvent[] = [];
    await using vm = await image.start({ egress: "public", onEgress: (event) => events.push(event) });
    const routes = [
      "import socket, struct",
      "link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)",
      "eth0 = socket.if_nametoindex('eth0')",
      "def route(kind, flags, bits, address, protocol, scope, unicast):",
      " attributes = struct.pack('HHi', 8, 4, eth0) + (struct.pack('HH4s', 8, 1, address) if bits else b'')",
      " body = struct.pack('BBBBBBBBI', 2, bits, 0, 0, 254, protocol, scope, unicast, 0) + attributes",
      " link.send(struct.pack('IHHII', 16 + len(body), kind, flags, 1, 0) + body)",
      " return struct.unpack_from('i', link.recv(4096), 16)[0]",
      "print(route(25, 5, 0, b'', 0, 255, 0))",
      "print(*[route(24, 0x405, 32, bytes(each), 4, 253, 1) for each in ([169, 254, 169, 254], [10, 0, 2, 2])])",
    ].join("\n");
    expect((await python(vm, routes)).stdout).toBe("0\n0 0\n");
    expect(await reachable(vm, "8.8.8.8", "169.254.169.254", "10.0.2.2")).toEqual([]);
    expect(events.filter(({ allowed }) => allowed)).toEqual([]);
    await neighbourIsWell();
  });

  test("cannot speak on the agent's ports, and without them harms itself alone", async () => {
    await using vm = await image.start();
    const speak = [
      "import os, stat, errno",
      "major = [int(line.split()[0]) for line in open('/proc/devices') if 'virtio-portsdev' in line]",
      "for minor in range(8):",
      " try:",
      "  os.mknod(f'/tmp/port{minor}', 0o600 | stat.S_IFCHR, os.makedev(major[0], minor))",
      "  os.write(os.open(f'/tmp/port{minor}', os.O_RDWR | os.O_NONBLOCK), b'\\x89SMSYNC\\n' + b'\\xff' * 4096)",
      "  print(minor, 'written')",
      " except OSError as e:",
      "  if e.errno not in (errno.ENXIO, errno.EINVAL): print(minor, errno.errorcode[e.errno])",
    ].join("\n");
    expect((await python(vm, speak)).stdout).toBe("1 EBUSY\n2 EBUSY\n");
    expect((await vm.run(["echo", "alive"])).stdout).toBe("alive\n");
    const remove = "for each in /sys/bus/virtio/drivers/virtio_console/virtio*; do echo 1 > $each/../remove; done";
    await expect(vm.run(["sh", "-c", remove], { timeoutMs: 2_000 })).rejects.toThrow();
    await neighbourIsWell();
  });

  test("that fills its memory and forks without end harms itself alone", async () => {
    await using vm = await image.start();
    const full = await vm.run(["dd", "if=/dev/zero", "of=/fill", "bs=1M"], { timeoutMs: 60_000 });
    expect(full.stderr).toMatch(/No space left/);
    const bomb = "import os\nwhile True:\n try: os.fork()\n except OSError: pass";
    // Its first process may be killed for want of memory before its time is over.
    const ended = vm.run(["python3", "-c", bomb], { timeoutMs: 3_000 }).then(({ exitCode }) => exitCode);
    expect(await ended.catch(() => "given up")).not.toBe(0);
    await neighbourIsWell();
  });
});

function buildEbpf(): Buffer {
  const folder = mkdtempSync(join(tmpdir(), "supermachine-ebpf-"));
  try {
    execFileSync("cc", ["-std=gnu11", "-Os", "-static", "-o", join(folder, "program"), SOURCE]);
    return readFileSync(join(folder, "program"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
