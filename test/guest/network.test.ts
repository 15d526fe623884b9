import { once } from "node:events";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { FieldWriter } from "../../src/guest/fields.js";
import { FrameType, MARK } from "../../src/guest/frames.js";
import type { Agent, ConnectionRequest, Ends, GuestConnection } from "../../src/guest/index.js";
import { canHaveNetwork, type RunningAgent, run, startAgent } from "./agent-under-test.js";
import { frame, sessionFrame } from "./frame-builder.js";

vi.setConfig({ testTimeout: 30_000 });

let running: RunningAgent;
let agent: Agent;
beforeEach(async () => {
  running = await startAgent("sanitized", { network: canHaveNetwork() });
  agent = running.agent;
}, 60_000);
afterEach(() => running[Symbol.asyncDispose]());

const python = async (...lines: string[]) => {
  const result = await run(agent, ["python3", "-uc", ["import socket, sys, time", ...lines].join("\n")]);
  return result.stderr.toString() + result.stdout.toString();
};

/** Refuses by the port, accepts all else. */
function answerByPort(
  accepted: (connection: GuestConnection, request: ConnectionRequest) => void,
): ConnectionRequest[] {
  const requests: ConnectionRequest[] = [];
  const refusals = { 7: "ECONNREFUSED", 8: "EHOSTUNREACH", 9: "ENETUNREACH", 10: "EACCES" } as const;
  agent.network.open({
    connection(request) {
      requests.push(request);
      const { port } = request.ends.destination;
      const why = refusals[port as keyof typeof refusals];
      if (why) agent.network.refuse(request, why);
      else if (port !== 11) {
        const accepting = agent.network.accept(request, () => undefined);
        // The test may be over before the guest has taken it.
        void accepting.then((each) => accepted(each, request)).catch(() => undefined);
      }
    },
    datagram: () => undefined,
  });
  return requests;
}

describe.runIf(canHaveNetwork())("a connection out of the workload", () => {
  const connects = (port: number) => [
    "for host in '1.2.3.4', '2001:db8::1':",
    " s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET); s.settimeout(1)",
    ` try: s.connect((host, ${port})); print('connected')`,
    " except OSError as e: print(e.strerror or e)",
  ];

  test.each([
    [7, "Connection refused\nConnection refused\n"],
    [8, "No route to host\nNo route to host\n"],
    [9, "Network is unreachable\nNetwork is unreachable\n"],
    [10, "No route to host\nPermission denied\n"],
    [11, "timed out\ntimed out\n"],
    [80, "connected\nconnected\n"],
  ])("to port %i sees what the host says: %j", async (port, expected) => {
    const requests = answerByPort((connection) => connection.resume());
    expect(await python(...connects(port))).toBe(expected);
    expect(requests[0]?.ends).toMatchObject({
      source: { address: "10.0.2.15" },
      destination: { address: "1.2.3.4", port },
    });
    expect(requests.at(-1)?.ends).toMatchObject({ source: { address: "fd73:6d61:6368::15" } });
  });

  test("ends in one direction after the other, with every byte", async () => {
    answerByPort((connection) => {
      let got = 0;
      connection.on("data", (bytes: Buffer) => {
        got += bytes.length;
      });
      connection.on("end", () => connection.end(`got ${got}`));
    });
    const lines = [
      "s = socket.create_connection(('1.2.3.4', 80))",
      "s.sendall(b'x' * 3000000); s.shutdown(1)",
      "print(s.recv(100))",
    ];
    expect(await python(...lines)).toBe("b'got 3000000'\n");
  });

  test("is reset when the host resets it, and the host hears of a reset", async () => {
    const errors: unknown[] = [];
    answerByPort((connection, { ends }) => {
      connection.on("error", (error) => errors.push((error as { errno?: unknown }).errno));
      connection.once("data", () => (ends.destination.port === 81 ? connection.destroy() : connection.write("y")));
    });
    const reads = [
      "s = socket.create_connection(('1.2.3.4', 81)); s.sendall(b'x')",
      "try: s.recv(1)",
      "except OSError as e: print(e.strerror)",
    ];
    expect(await python(...reads)).toBe("Connection reset by peer\n");
    await python(
      "import struct",
      "s = socket.create_connection(('1.2.3.4', 80)); s.sendall(b'x'); s.recv(1)",
      "s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); s.close()",
    );
    await expect.poll(() => errors).toEqual(["ECONNRESET"]);
  });

  test("is not read faster than the host reads it, nor written faster than the guest reads", async () => {
    const connections: GuestConnection[] = [];
    answerByPort((connection) => connections.push(connection));
    const sends = await agent.exec({
      argv: [
        "python3",
        "-uc",
        "import socket\ns = socket.create_connection(('1.2.3.4', 80)); s.sendall(b'x' * 30000000); print('sent')",
      ],
    });
    await expect.poll(() => connections.length).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(sends.stdout.readableLength).toBe(0);
    let written = 0;
    const chunk = Buffer.alloc(65_536);
    while (connections[0]?.write(chunk)) written += chunk.length;
    expect(written).toBeLessThan(1_000_000);
    connections[0]?.resume();
    expect(await text(sends.stdout)).toBe("sent\n");
  });

  test("belongs to its session: a new one resets it", async () => {
    answerByPort((connection) => connection.write("hello"));
    const waits = await agent.exec({
      argv: [
        "python3",
        "-uc",
        "import socket\ns = socket.create_connection(('1.2.3.4', 80)); print(s.recv(9))\ntry: s.recv(1)\nexcept OSError as e: open('/dev/stderr', 'w').write(e.strerror)",
      ],
    });
    await once(waits.stdout, "data");
    running.process.links.bulk.removeAllListeners("data");
    running.process.links.bulk.write(sessionFrame(Buffer.alloc(16, 7)));
    expect(await text(waits.stderr)).toBe("Connection reset by peer");
  });

  test("waits for a session that has not opened the network yet, and is refused by one that has none", async () => {
    const tries = [
      "s = socket.socket(); s.settimeout(0.3)",
      "try: s.connect(('1.2.3.4', 80))",
      "except OSError as e: print(e.strerror or e)",
    ];
    expect(await python(...tries)).toBe("timed out\n");
    agent.network.open(undefined);
    expect(await python(...tries)).toBe("Network is unreachable\n");
    const datagram = [
      "u = socket.socket(type=socket.SOCK_DGRAM); u.connect(('1.2.3.4', 53)); u.send(b'x')",
      "try: u.recv(1)",
      "except OSError as e: print(e.strerror)",
    ];
    expect(await python(...datagram)).toBe("Network is unreachable\n");
  });

  test("is one of 1,500 at the same time", async () => {
    const open = new Set<GuestConnection>();
    answerByPort((connection) => {
      open.add(connection);
      connection.once("data", (bytes: Buffer) => connection.write(bytes));
    });
    const lines = [
      "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (4000, 4000))",
      "all = [socket.create_connection(('1.2.3.4', 1000 + i)) for i in range(1500)]",
      "for i, s in enumerate(all): s.sendall(b'%d' % i)",
      "print(sum(s.recv(9) == b'%d' % i for i, s in enumerate(all)))",
    ];
    expect(await python(...lines)).toBe("1500\n");
    expect(open.size).toBe(1500);
  });
});

describe.runIf(canHaveNetwork())("datagrams of the workload", () => {
  test("reach the host with their ends, and its answers come from where they were sent", async () => {
    const seen: Ends[] = [];
    agent.network.open({
      connection: () => undefined,
      datagram(ends, content) {
        seen.push(ends);
        const back = { source: ends.destination, destination: ends.source };
        if (ends.destination.port === 9) agent.network.refuseDatagram(ends, "ECONNREFUSED");
        else agent.network.sendDatagram(back, Buffer.concat([Buffer.from("<"), content]));
      },
    });
    const lines = [
      "for host in '1.2.3.4', '2001:db8::1':",
      " for port, size in (53, 5), (53, 60000), (9, 1):",
      "  u = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(5)",
      "  u.connect((host, port)); u.send(b'x' * size)",
      "  try: print(len(u.recv(65536)))",
      "  except OSError as e: print(e.strerror or e)",
    ];
    expect(await python(...lines)).toBe("6\n60001\nConnection refused\n6\n60001\nConnection refused\n");
    expect(seen[0]).toMatchObject({ source: { address: "10.0.2.15" }, destination: { address: "1.2.3.4", port: 53 } });
  });

  test("are lost when the host does not take them, and nothing else is", async () => {
    answerByPort((connection) => connection.end("still here"));
    const lines = [
      "u = socket.socket(type=socket.SOCK_DGRAM)",
      "for i in range(3000): u.sendto(b'x' * 1400, ('1.2.3.4', 5000))",
      "print(socket.create_connection(('1.2.3.4', 80)).recv(20))",
    ];
    expect(await python(...lines)).toBe("b'still here'\n");
  });
});

describe("a connection to the workload", () => {
  const echo = "c, a = s.accept()\nwhile 1:\n d = c.recv(65536)\n if not d: break\n c.sendall(d)\nc.close()";

  async function listen(script: string): Promise<number> {
    const server = await agent.exec({ argv: ["python3", "-uc", `import socket\n${script}`] });
    const [line] = await once(server.stdout, "data");
    return Number(line);
  }

  test("carries bytes both ways until both have ended", async () => {
    const port = await listen(
      `s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); print(s.getsockname()[1])\n${echo}`,
    );
    const connection = await agent.network.connect({ address: "127.0.0.1", port });
    connection.end("x".repeat(1_000_000));
    expect((await text(connection)).length).toBe(1_000_000);
  });

  test("that nobody listens for is refused", async () => {
    const refused = agent.network.connect({ address: "127.0.0.1", port: 1 });
    await expect(refused).rejects.toMatchObject({ errno: "ECONNREFUSED" });
    await expect(agent.network.connect({ address: "::1", port: 1 })).rejects.toMatchObject({ errno: "ECONNREFUSED" });
  });

  test("for datagrams carries each as it is", async () => {
    const port = await listen(
      "s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('127.0.0.1', 0)); print(s.getsockname()[1])\nwhile 1:\n d, a = s.recvfrom(65536); s.sendto(d + b'!', a)",
    );
    const received: number[] = [];
    const datagrams = agent.network.connectUdp(
      { address: "127.0.0.1", port },
      { datagram: (content) => received.push(content.length), over: () => undefined },
    );
    for (const size of [1, 0, 50_000]) datagrams.send(Buffer.alloc(size));
    await expect.poll(() => received).toEqual([2, 1, 50_001]);
    datagrams.close();
  });
});

describe("a host that breaks the rules", () => {
  const open = (kind: number, stream: number) =>
    frame(FrameType.open, new FieldWriter().kind(kind).u32(1, 1).toBuffer(), { stream });
  const header = (kind: number) => Buffer.concat([Buffer.from([kind, 0]), Buffer.alloc(38)]);
  test.runIf(canHaveNetwork()).each([
    ["an unknown message", frame(FrameType.data, header(9), { stream: 1 })],
    ["a message without its header", frame(FrameType.data, Buffer.alloc(39), { stream: 1 })],
    ["a refusal without its SYN", frame(FrameType.data, header(3), { stream: 1 })],
    ["a frame that does not belong", frame(FrameType.end, Buffer.alloc(0), { stream: 1 })],
    ["a credit that is not four bytes", frame(FrameType.credit, Buffer.alloc(3), { stream: 1 })],
  ])("is told so: %s", async (reason, bytes) => {
    const { bulk } = running.process.links;
    bulk.removeAllListeners("data");
    bulk.write(Buffer.concat([MARK, sessionFrame(Buffer.alloc(16, 3)), open(16, 1), bytes]));
    await expect.poll(() => running.process.console()).toContain(reason);
  });
});
