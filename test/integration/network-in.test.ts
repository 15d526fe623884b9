import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GuestConnectionError, Image, NetworkError, UsageError, type Vm, VmError } from "../../src/index.js";
import { debianPythonImage } from "../support/images.js";
import { remainingWorkers } from "../support/leftovers.js";

const ECHO = [
  "import socket, threading",
  "def serve(c):",
  " while d := c.recv(65536): c.sendall(d)",
  " c.shutdown(1); c.close()",
  "s = socket.create_server(('127.0.0.1', 7000), backlog=512)",
  "u = socket.socket(type=socket.SOCK_DGRAM); u.bind(('0.0.0.0', 7001))",
  "def datagrams():",
  " while 1: d, a = u.recvfrom(65536); u.sendto(d.upper(), a)",
  "threading.Thread(target=datagrams).start()",
  "while 1: threading.Thread(target=serve, args=(s.accept()[0],)).start()",
].join("\n");

let vm: Vm;

beforeAll(async () => {
  const { archive } = await debianPythonImage();
  vm = await (await Image.fromOci(`oci-archive:${archive}`)).start({ egress: "none" });
  await vm.exec(["python3", "-c", ECHO]);
  await vm.waitForPort(7000);
});
afterAll(async () => {
  await vm.stop();
  expect(await remainingWorkers()).toEqual([]);
});

describe("a connection to a port of the guest", () => {
  test("carries every byte both ways, and each end", async () => {
    const connection = await vm.connect(7000);
    connection.end("x".repeat(3_000_000));
    expect((await text(connection)).length).toBe(3_000_000);
  });

  test("that nobody listens on is refused, and a wrong port is said to be one", async () => {
    await expect(vm.connect(7999)).rejects.toThrow(GuestConnectionError);
    await expect(vm.connect(7999)).rejects.toMatchObject({ errno: "ECONNREFUSED" });
    for (const port of [0, 70_000, 1.5]) await expect(vm.connect(port)).rejects.toThrow(UsageError);
    await expect(vm.connect(7000, { host: "localhost" })).rejects.toThrow(UsageError);
  });
});

describe("an exposed port", () => {
  test("is reached on the host's loopback until it is closed", async () => {
    const exposed = await vm.exposeTcp({ guestPort: 7000 });
    expect(exposed).toMatchObject({ protocol: "tcp", host: "127.0.0.1", guestPort: 7000 });
    const clients = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const client = connect({ port: exposed.hostPort, allowHalfOpen: true });
        client.end(`client ${index} `.repeat(1_000));
        return [await text(client), `client ${index} `.repeat(1_000)];
      }),
    );
    for (const [got, sent] of clients) expect(got).toBe(sent);
    const taken = vm.exposeTcp({ guestPort: 7000, hostPort: exposed.hostPort });
    await expect(taken).rejects.toThrow(NetworkError);
    await exposed.close();
    await exposed.close();
    const late = connect(exposed.hostPort);
    expect((await once(late, "error"))[0]).toMatchObject({ code: "ECONNREFUSED" });
  });

  test("whose program does not listen resets who comes", async () => {
    await using exposed = await vm.exposeTcp({ guestPort: 7998 });
    const client = connect(exposed.hostPort);
    expect((await once(client, "error"))[0]).toMatchObject({ code: "ECONNRESET" });
  });

  test("carries datagrams, and each sender's answers to it alone", async () => {
    await using exposed = await vm.exposeUdp({ guestPort: 7001 });
    const clients = [createSocket("udp4"), createSocket("udp4")];
    const answers = clients.map(async (client, index) => {
      client.send(`from ${index}`, exposed.hostPort, "127.0.0.1");
      return String((await once(client, "message"))[0]);
    });
    expect(await Promise.all(answers)).toEqual(["FROM 0", "FROM 1"]);
    for (const client of clients) client.close();
  });

  test("ends with its VM", async () => {
    const { vms } = await vm.fork();
    const exposed = await vms[0]?.exposeTcp({ guestPort: 7000 });
    await vms[0]?.stop();
    const late = connect(exposed?.hostPort ?? 0);
    expect((await once(late, "error"))[0]).toMatchObject({ code: "ECONNREFUSED" });
  });
});

describe("the ports that are listened on", () => {
  test("are listed, and watched", async () => {
    expect(await vm.ports()).toEqual([
      { protocol: "tcp", address: "127.0.0.1", port: 7000 },
      { protocol: "udp", address: "0.0.0.0", port: 7001 },
    ]);
    const end = new AbortController();
    const seen: number[][] = [];
    let server: Awaited<ReturnType<Vm["exec"]>> | undefined;
    for await (const ports of vm.watchPorts({ signal: end.signal })) {
      seen.push(ports.map(({ port }) => port));
      if (seen.length === 1) server = await vm.exec(["python3", "-m", "http.server", "7100"]);
      else if (seen.length === 2) server?.kill("SIGKILL");
      else break;
    }
    expect(seen).toEqual([
      [7000, 7001],
      [7000, 7001, 7100],
      [7000, 7001],
    ]);
  });

  test("are waited for, and named when the wait is over", async () => {
    await expect(vm.waitForPort(7997, { timeoutMs: 100 })).rejects.toThrow(VmError);
    await expect(vm.waitForPort(7997, { timeoutMs: 100 })).rejects.toThrow(/7000/);
  });
});
