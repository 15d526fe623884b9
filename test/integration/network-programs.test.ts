import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type EgressEvent, Image, type Vm } from "../../src/index.js";
import { dnsServer } from "../support/dns-server.js";
import { servicesImage } from "../support/images.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { remainingWorkers } from "../support/leftovers.js";
import { makeAuthority, makeServerCertificate } from "../support/registry/certificates.js";
import { freePort, untilListening } from "../support/registry/ports.js";
import { connectProxy } from "../support/servers/connect-proxy.js";
import { folderServer } from "../support/servers/folder-server.js";
import { gitServer } from "../support/servers/git-server.js";
import type { TestServer } from "../support/servers/listen.js";
import { makeAptRepository, makePythonIndex } from "../support/servers/repositories.js";

const HOST = "host.supermachine.internal";
const ZONE = {
  "shop.example A": ["10.0.2.2"],
  "shop.example AAAA": [],
  "a.example A": ["93.184.216.34", "93.184.216.35"],
  "a.example AAAA": ["2606:2800::1"],
  "a.example MX": [{ preference: 10, exchange: "mail.example" }],
  "a.example TXT": [["v=spf1", " -all"]],
  "_x._tcp.a.example SRV": [{ priority: 1, weight: 2, port: 3, target: "a.example" }],
  "alias.example CNAME": ["a.example"],
  "34.216.184.93.in-addr.arpa PTR": ["a.example"],
  "many.example A": Array.from({ length: 40 }, (_, index) => `93.184.217.${index}`),
};

let image: Image;
let vm: Vm;
let folder: ReturnType<typeof temporaryFolder>;
let web: TestServer;
let secure: TestServer;
let proxy: TestServer;
let git: TestServer;
const cleanUp: AsyncDisposable[] = [];
const tunnels: string[] = [];
const onHost = (...names: string[]) => join(folder.path, ...names);

const run = async (on: Vm, script: string, user = "root") => {
  const { stdout, stderr, exitCode } = await on.run(["sh", "-c", script], { user, timeoutMs: 120_000 });
  return { out: stderr + stdout, exitCode };
};
/** What a script writes, which must succeed. */
const sh = async (script: string) => {
  const { out, exitCode } = await run(vm, `set -e; cd /tmp; ${script}`);
  if (exitCode !== 0) throw new Error(`${exitCode}: ${out}`);
  return out;
};

beforeAll(async () => {
  folder = temporaryFolder();
  writeFileSync(onHost("small"), "small file\n");
  makeAptRepository(onHost("apt"));
  makePythonIndex(onHost("simple"));
  mkdirSync(onHost("tls"));
  const authority = await makeAuthority(onHost("tls"));
  const { key, certificate } = await makeServerCertificate(onHost("tls"), authority, ["DNS:shop.example"]);
  const names = await dnsServer(ZONE);
  web = await folderServer(folder.path);
  secure = await folderServer(folder.path, { key: readFileSync(key), cert: readFileSync(certificate) });
  proxy = await connectProxy(tunnels);
  git = await gitServer(onHost("git"));
  cleanUp.push(names, web, secure, proxy, git);
  image = await Image.fromOci(`oci-archive:${(await servicesImage()).archive}`, { memoryMiB: 512 });
  vm = await image.start({ egress: { allow: ["public", HOST], dnsServers: [names.address] } });
  await vm.writeFile("/tmp/ca.pem", readFileSync(authority.certificate));
});
afterAll(async () => {
  await vm?.stop();
  for (const each of cleanUp) await each[Symbol.asyncDispose]();
  folder?.[Symbol.dispose]();
  expect(await remainingWorkers()).toEqual([]);
});

describe("curl", () => {
  test("fetches and posts over HTTP and, with the authority's certificate, HTTPS", async () => {
    expect(await sh(`curl -sS http://${HOST}:${web.port}/small`)).toBe("small file\n");
    expect(await sh(`curl -sS --cacert ca.pem https://shop.example:${secure.port}/small`)).toBe("small file\n");
    const posted = `head -c 3000000 /dev/urandom > body; curl -sS --cacert ca.pem --data-binary @body -o back`;
    expect(await sh(`${posted} https://shop.example:${secure.port}/; cmp body back && echo same`)).toBe("same\n");
  });

  test("is told what is wrong: no trust, nobody there, no such name, not allowed", async () => {
    const fails = async (what: string) => (await run(vm, `curl -sS ${what}`)).out;
    expect(await fails(`https://shop.example:${secure.port}/`)).toMatch(/^curl: \(60\)/);
    expect(await fails(`http://${HOST}:1/`)).toMatch(/^curl: \(7\)/);
    expect(await fails("http://nowhere.example/")).toMatch(/^curl: \(6\)/);
    expect(await fails("http://169.254.169.254/latest/meta-data/")).toMatch(/^curl: \(7\)/);
  });

  test("goes through a proxy, which may be all that its policy leaves it", async () => {
    const events: EgressEvent[] = [];
    tunnels.length = 0;
    const egress = { allow: [`${HOST}:${proxy.port}`] };
    await using other = await image.start({ egress, onEgress: (event) => events.push(event) });
    await other.writeFile("/tmp/ca.pem", await vm.readFile("/tmp/ca.pem"));
    const url = `https://shop.example:${secure.port}/small`;
    const through = `https_proxy=http://${HOST}:${proxy.port} curl -sS --cacert /tmp/ca.pem ${url}`;
    expect(await run(other, through)).toEqual({ out: "small file\n", exitCode: 0 });
    expect(tunnels).toEqual([`shop.example:${secure.port}`]);
    expect((await run(other, `curl -sS ${url}`)).out).toMatch(/^curl: \(6\)/);
    expect((await run(other, `curl -sS http://${HOST}:${web.port}/small`)).out).toMatch(/^curl: \(7\)/);
    expect(new Set(events.filter(({ allowed }) => allowed).map(({ port }) => port))).toEqual(
      new Set([undefined, proxy.port]),
    );
  });
});

test("apt-get installs a package and what it depends on from a repository", async () => {
  const list = `deb [trusted=yes] http://${HOST}:${web.port}/apt ./`;
  await sh(`echo '${list}' > /etc/apt/sources.list.d/test.list; apt-get -q update; apt-get -qy install greeting`);
  expect(await sh("greeting; sha256sum < /usr/share/words/all")).toBe(
    `hello from a package\n${execFileSync("sha256sum", { input: readFileSync(onHost("apt/words.root/usr/share/words/all")), encoding: "utf8" })}`,
  );
});

test("pip installs a package and what it depends on from an index", async () => {
  const index = `--index-url http://${HOST}:${web.port}/simple/ --trusted-host ${HOST}`;
  await sh(
    `python3 -m pip install -q --root-user-action ignore --no-cache-dir --no-compile --target site ${index} greeting`,
  );
  expect(await sh("PYTHONPATH=site python3 -m greeting")).toBe("hello from a wheel\n");
});

test("dig is answered every kind of record of a zone", async () => {
  const questions =
    "a.example A a.example AAAA alias.example CNAME a.example MX a.example TXT _x._tcp.a.example SRV -x 93.184.216.34";
  expect((await sh(`dig +short ${questions}`)).split("\n")).toEqual([
    "93.184.216.34",
    "93.184.216.35",
    "2606:2800::1",
    "a.example.",
    "10 mail.example.",
    '"v=spf1" " -all"',
    "1 2 3 a.example.",
    "a.example.",
    "",
  ]);
  // Too long for a datagram of this size, so that it is asked for again over TCP.
  expect(await sh("dig +short +noedns many.example A | wc -l; dig nowhere.example A | grep -o 'status: [A-Z]*'")).toBe(
    "40\nstatus: NXDOMAIN\n",
  );
});

test("git clones over HTTP and pushes", async () => {
  const author = ["-c", "user.name=host", "-c", "user.email=host@example.org"];
  const hostGit = (...argv: string[]) => execFileSync("git", argv, { encoding: "utf8", stdio: "pipe" });
  for (const path of ["source", "git/project.git"]) rmSync(onHost(path), { recursive: true, force: true });
  mkdirSync(onHost("source"));
  for (let n = 0; n < 200; n++) writeFileSync(onHost("source", `file-${n}`), `content ${n}\n`.repeat(n));
  hostGit("-C", onHost("source"), "init", "-q", "-b", "main");
  hostGit("-C", onHost("source"), "add", ".");
  hostGit("-C", onHost("source"), ...author, "commit", "-qm", "first");
  hostGit("clone", "-q", "--bare", onHost("source"), onHost("git", "project.git"));
  hostGit("-C", onHost("git", "project.git"), "config", "http.receivepack", "true");
  const identity = "-c user.name=guest -c user.email=guest@example.org";
  expect(
    await sh(`rm -rf project; git clone -q http://${HOST}:${git.port}/project.git; cd project; ls | wc -l; tail -n 1 file-199
      echo more > added; git add added; git ${identity} commit -qm second; git push -q origin main`),
  ).toBe("200\ncontent 199\n");
  expect(hostGit("-C", onHost("git", "project.git"), "log", "--format=%an %s")).toBe("guest second\nhost first\n");
});

describe("iperf3 moves what it is told to, up and down", () => {
  const BYTES = 16 << 20;
  /** Both ends agree on a transfer. The receiver is told of the end while the last of it is still on its way, and does not wait for that. */
  const expectMoved = (json: string) => {
    const { sum_sent, sum_received } = JSON.parse(json).end;
    expect(sum_sent.bytes).toBeGreaterThanOrEqual(BYTES);
    expect(sum_received.bytes).toBeGreaterThan(BYTES / 4);
  };

  test("for a client in the guest", async () => {
    const port = await freePort();
    const server = spawn("iperf3", ["--server", "--port", String(port), "--bind", "127.0.0.1"], { stdio: "ignore" });
    await untilListening(port, () => server.exitCode !== null);
    for (const direction of ["", "--reverse"]) {
      const json = await sh(`iperf3 --client ${HOST} --port ${port} --bytes ${BYTES} --json ${direction}`);
      expectMoved(json);
    }
    server.kill();
    await once(server, "exit");
  });

  test("for a server in the guest", async () => {
    const server = await vm.exec(["iperf3", "--server"], { stdin: "ignore" });
    server.stdout.resume();
    await vm.waitForPort(5201);
    await using exposed = await vm.exposeTcp({ guestPort: 5201 });
    const client = ["--client", "127.0.0.1", "--port", String(exposed.hostPort), "--bytes", String(BYTES), "--json"];
    for (const direction of [[], ["--reverse"]]) {
      const { stdout } = await promisify(execFile)("iperf3", [...client, ...direction]);
      expectMoved(stdout);
    }
    server.kill();
    await server.wait();
  });
});
