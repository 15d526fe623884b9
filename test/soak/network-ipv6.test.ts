import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type EgressEvent, type EgressPolicy, Image } from "../../src/index.js";
import { debianPythonImage } from "../support/images.js";
import { remainingWorkers } from "../support/leftovers.js";

/** A host of its own, as far as networks go: a namespace behind a link that only this test has. */
const NAME = `supermachine-${process.pid}`;
const [OUTSIDE, INSIDE] = [`smo${process.pid}`, `smi${process.pid}`];
/** Of the global unicast range, of which IANA has given nothing out of 2e00::/16; and of a private network. */
const [PUBLIC, PRIVATE] = ["2e00:6d61:6368", "fd5e:6d61:6368"];
const server = `${PUBLIC}::2`;
const privateServer = `${PRIVATE}::2`;
const BYTES = 20_000_000;

const ip = (...argv: string[]) => execFileSync("ip", argv, { stdio: "pipe" });
const possible = spawnSync("ip", ["netns", "add", `${NAME}-try`]).status === 0;
if (possible) ip("netns", "delete", `${NAME}-try`);

/** On all addresses of the namespace: HTTP at port 8080, and UDP at 5000, which sends back what comes. */
const SERVERS = `
import http.server, socket, threading, socketserver
class Server(http.server.ThreadingHTTPServer): address_family = socket.AF_INET6
web = Server(("::", 8080), http.server.SimpleHTTPRequestHandler)
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); udp.bind(("::", 5000))
def echo():
  while 1:
    data, sender = udp.recvfrom(65536); udp.sendto(data + b"!", sender)
threading.Thread(target=echo, daemon=True).start()
print("ready", flush=True)
web.serve_forever()
`;

describe.runIf(possible)("a server that is reached by IPv6", () => {
  const folder = mkdtempSync(join(tmpdir(), "supermachine-ipv6-"));
  let servers: ChildProcess | undefined;
  let image: Image;

  beforeAll(async () => {
    writeFileSync(join(folder, "file"), Buffer.alloc(BYTES, "six"));
    ip("netns", "add", NAME);
    ip("link", "add", OUTSIDE, "type", "veth", "peer", "name", INSIDE, "netns", NAME);
    for (const prefix of [PUBLIC, PRIVATE]) {
      ip("address", "add", `${prefix}::1/64`, "dev", OUTSIDE, "nodad");
      ip("-n", NAME, "address", "add", `${prefix}::2/64`, "dev", INSIDE, "nodad");
    }
    ip("link", "set", OUTSIDE, "up");
    ip("-n", NAME, "link", "set", INSIDE, "up");
    const argv = ["netns", "exec", NAME, "python3", "-c", SERVERS];
    servers = spawn("ip", argv, { cwd: folder, stdio: ["ignore", "pipe", "ignore"] });
    if (servers.stdout) await once(servers.stdout, "data");
    image = await Image.fromOci(`oci-archive:${(await debianPythonImage()).archive}`);
  });

  afterAll(async () => {
    servers?.kill("SIGKILL");
    // The link goes with it.
    spawnSync("ip", ["netns", "delete", NAME]);
    rmSync(folder, { recursive: true });
    expect(await remainingWorkers()).toEqual([]);
  });

  /** What each of these lines of Python says in a guest with the policy, and what was decided. */
  async function inGuest(egress: EgressPolicy, ...lines: string[]): Promise<[string[], string[]]> {
    const events: EgressEvent[] = [];
    await using vm = await image.start({ egress, onEgress: (event) => events.push(event) });
    const script = [
      "import socket, urllib.request",
      "def get(host, port=8080):",
      " try: return len(urllib.request.urlopen(f'http://[{host}]:{port}/file', timeout=60).read())",
      " except OSError as e: return getattr(e, 'reason', e).strerror",
      "def ask(host):",
      " s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.settimeout(20)",
      " try: s.connect((host, 5000)); s.send(b'hello'); return s.recv(99).decode()",
      " except OSError as e: return e.strerror",
      ...lines.map((line) => `print(${line})`),
    ].join("\n");
    const { stdout, stderr } = await vm.run(["python3", "-c", script], { timeoutMs: 120_000 });
    const decided = events.map((each) => `${each.protocol} [${each.address}]:${each.port} ${each.allowed}`);
    return [`${stderr}${stdout}`.trim().split("\n"), decided];
  }

  test("is public by its address, and private by another one", async () => {
    const lines = [`get('${server}')`, `get('${privateServer}')`, `ask('${server}')`, `ask('${privateServer}')`];
    expect(await inGuest("public", ...lines)).toEqual([
      [`${BYTES}`, "Permission denied", "hello!", "Permission denied"],
      [
        `tcp [${server}]:8080 true`,
        `tcp [${privateServer}]:8080 false`,
        `udp [${server}]:5000 true`,
        `udp [${privateServer}]:5000 false`,
      ],
    ]);
  });

  test("refuses a port that nobody listens on, and the guest hears of it", async () => {
    expect((await inGuest("public", `get('${server}', 8081)`))[0]).toEqual(["Connection refused"]);
  });

  test("is reached in a private network by a policy that names it, or all", async () => {
    const both = [`get('${privateServer}')`, `get('${server}')`];
    expect((await inGuest({ allow: [`${PRIVATE}::/64`] }, ...both))[0]).toEqual([`${BYTES}`, "Permission denied"]);
    expect((await inGuest("all", ...both))[0]).toEqual([`${BYTES}`, `${BYTES}`]);
    const port = { allow: [`[${privateServer}]:8080`] };
    expect((await inGuest(port, `get('${privateServer}')`, `ask('${privateServer}')`))[0]).toEqual([
      `${BYTES}`,
      "Permission denied",
    ]);
  });

  test("is not reached where it is denied, or all is", async () => {
    expect((await inGuest({ deny: [`${PUBLIC}::/48`] }, `get('${server}')`))[0]).toEqual(["Permission denied"]);
    expect((await inGuest("none", `get('${server}')`))[0]).toEqual(["Network is unreachable"]);
  });

  test("is not the host itself, though its address is of a public range", async () => {
    expect((await inGuest("public", `get('${PUBLIC}::1')`))[0]).toEqual(["Permission denied"]);
  });
});
