import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type EgressEvent, type EgressPolicy, Image, UsageError, type Vm } from "../../src/index.js";
import { type DnsServer, dnsServer } from "../support/dns-server.js";
import { debianPythonImage } from "../support/images.js";
import { remainingWorkers, workers } from "../support/leftovers.js";

const HOST = "host.supermachine.internal";
let image: Image;
let vm: Vm;
let web: Server;
let names: DnsServer;
let port: number;
const events: EgressEvent[] = [];

beforeAll(async () => {
  const { archive } = await debianPythonImage();
  image = await Image.fromOci(`oci-archive:${archive}`);
  web = createServer((request, response) => request.pipe(response));
  await new Promise((resolve) => web.listen(0, "127.0.0.1", () => resolve(undefined)));
  port = (web.address() as AddressInfo).port;
  names = await dnsServer({
    "inside.example A": ["10.1.2.3"],
    "rebound.example A": ["127.0.0.1"],
    "metadata.example A": ["169.254.169.254"],
    "six.example AAAA": ["::ffff:169.254.169.254"],
    "good.example A": ["10.0.2.2"],
    "good.example AAAA": [],
  });
  const egress = { allow: ["public", HOST], dnsServers: [names.address] };
  vm = await image.start({ egress, onEgress: (event) => events.push(event) });
});
afterAll(async () => {
  await vm.stop();
  await names[Symbol.asyncDispose]();
  web.closeAllConnections();
  web.close();
  expect(await remainingWorkers()).toEqual([]);
});

const python = async (on: Vm, ...lines: string[]) => {
  const { stdout, stderr } = await on.run(["python3", "-c", ["import socket, urllib.request", ...lines].join("\n")], {
    timeoutMs: 60_000,
  });
  return stderr + stdout;
};

const tries = (host: string, on: number) => [
  `try: socket.create_connection(('${host}', ${on}), 20); print('connected')`,
  "except OSError as e: print(e.strerror or e)",
];

describe("a program of the guest", () => {
  test("reaches a server on the host's loopback that it may reach, by name and by number", async () => {
    for (const host of [HOST, "10.0.2.2"])
      expect(
        await python(
          vm,
          `print(urllib.request.urlopen('http://${host}:${port}/', b'x' * 200000, 20).read() == b'x' * 200000)`,
        ),
      ).toBe("True\n");
    expect(events).toContainEqual(
      expect.objectContaining({ protocol: "tcp", allowed: true, address: "10.0.2.2", port }),
    );
    expect(events).toContainEqual(expect.objectContaining({ protocol: "dns", allowed: true, names: [HOST] }));
  });

  test("hears of a refusal as the host does", async () => {
    expect(await python(vm, ...tries(HOST, 1))).toBe("Connection refused\n");
  });

  test("does not reach what is private, by number, by name, in any form, or by a name that has come to stand for it", async () => {
    const hosts = [
      "10.1.2.3",
      "192.168.0.1",
      "169.254.169.254",
      "100.100.100.200",
      "inside.example",
      "metadata.example",
    ];
    const inSix = ["::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "six.example"];
    const lines = (await python(vm, ...[...hosts, ...inSix].flatMap((host) => tries(host, 80)))).trim().split("\n");
    expect(lines.slice(0, hosts.length)).toEqual(hosts.map(() => "No route to host"));
    expect(lines.slice(hosts.length)).toEqual(
      inSix.map(() => expect.stringMatching(/No route to host|Permission denied/)),
    );
    // A name of the loopback leads to the guest's own, where nobody listens.
    expect(await python(vm, ...tries("rebound.example", port))).toBe("Connection refused\n");
    expect(
      events.filter(({ protocol, address, allowed }) => protocol !== "dns" && allowed && address !== "10.0.2.2"),
    ).toEqual([]);
  });

  test("does not find a name that is not there, quickly", async () => {
    expect(
      await python(vm, "try: socket.getaddrinfo('nowhere.example', 80)", "except OSError as e: print(e.strerror)"),
    ).toBe("Name or service not known\n");
  });
});

describe("a policy", () => {
  const withPolicy = async (egress: EgressPolicy, use: (vm: Vm) => Promise<void>) => {
    await using other = await image.start({ egress });
    await use(other);
  };

  test("of none leaves no way out, and says so at once", () =>
    withPolicy("none", async (other) => {
      expect(await python(other, ...tries("1.1.1.1", 80))).toBe("Network is unreachable\n");
      expect(await python(other, ...tries("2606:4700:4700::1111", 80))).toBe("Network is unreachable\n");
      expect(
        await python(other, "try: socket.getaddrinfo('a.example', 80)", "except OSError as e: print(e.strerror)"),
      ).toMatch(/name/i);
    }));

  test("of the public does not open the host's loopback", () =>
    withPolicy("public", async (other) => {
      expect(await python(other, ...tries("10.0.2.2", port))).toBe("No route to host\n");
      expect(await python(other, ...tries(HOST, port))).toMatch(/not known/);
    }));

  test("that is wrong starts nothing", async () => {
    await expect(image.start({ egress: { allow: ["1.2.3"] } })).rejects.toThrow(UsageError);
    await expect(Image.fromOci("oci-archive:x.tar", { egress: { ports: [0] } })).rejects.toThrow(UsageError);
    expect(workers()).toHaveLength(1);
  });

  test("of a rate is kept", () =>
    withPolicy({ allow: [HOST], maxBytesPerSecond: 400_000 }, async (other) => {
      const started = performance.now();
      const size = 600_000;
      expect(
        await python(
          other,
          `print(len(urllib.request.urlopen('http://10.0.2.2:${port}/', b'x' * ${size}, 20).read()))`,
        ),
      ).toBe(`${size}\n`);
      // Not how fast it is, but that it is no faster: a burst of a quarter is free in each direction; the two overlap.
      expect(performance.now() - started).toBeGreaterThan(1_000);
    }));
});

test("a clone's connections are reset, the source's go on", async () => {
  const script = [
    "import socket, time",
    `s = socket.create_connection(('10.0.2.2', ${port})); open('/tmp/up', 'w')`,
    "time.sleep(2)",
    "try: s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n'); said = s.recv(8).decode()",
    "except OSError as e: said = e.strerror",
    "open('/tmp/said.new', 'w').write(said); import os; os.rename('/tmp/said.new', '/tmp/said')",
  ].join("\n");
  await vm.run(["rm", "-f", "/tmp/up", "/tmp/said"]);
  await vm.exec(["python3", "-c", script]);
  await vm.run(["sh", "-c", "while ! test -e /tmp/up; do sleep 0.05; done"]);
  await using fork = await vm.fork();
  const [clone] = fork.vms;
  const said = async (one: Vm | undefined) =>
    (
      await one?.run(["sh", "-c", "while ! test -e /tmp/said; do sleep 0.05; done; cat /tmp/said"], {
        timeoutMs: 60_000,
      })
    )?.stdout;
  expect(await Promise.all([said(vm), said(clone)])).toEqual(["HTTP/1.1", "Connection reset by peer"]);
});
