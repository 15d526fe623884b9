import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { execa } from "execa";
import { chromium } from "playwright-core";
import { afterEach, beforeAll, expect, test } from "vitest";
import { CLI, cli, inspect } from "../support/detached.js";
import { busyboxImage } from "../support/images.js";
import { remainingWorkers, workers } from "../support/leftovers.js";
import { freePort } from "../support/registry/ports.js";
import { freshHome } from "../support/test-home.js";

const PAGE = '<title>guest</title><h1></h1><script src="/app.js"></script>';
const SERVER =
  `mkdir -p /srv; echo '${PAGE}' > /srv/index.html;` +
  "echo 'document.querySelector(\"h1\").textContent = location.host' > /srv/app.js;" +
  "mkdir /srv/cgi-bin; cd /srv/cgi-bin; printf '#!/bin/sh\\nsleep 2; printf \"Content-Type: text/plain\\\\r\\\\n\\\\r\\\\ndone\"' > slow; chmod +x slow;" +
  "echo listening; exec httpd -f -p 8080 -h /srv";

let busybox: string;
const begin = (...args: string[]) => execa("node", [CLI, "run", "-q", ...args], { reject: false });
type Command = ReturnType<typeof begin>;
const running: Command[] = [];

/** Begins to serve, and gives where once it does. */
async function serve(...options: string[]): Promise<{ url: string; stderr: () => string; command: Command }> {
  const command = begin("-p", "8080", ...options, busybox, "--", "sh", "-c", SERVER);
  running.push(command);
  let stderr = "";
  command.stderr?.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const failed = command.then(() => Promise.reject(new Error(stderr)));
  await Promise.race([failed, expect.poll(() => stderr, { timeout: 120_000 }).toContain("is port 8080 of the image")]);
  return { url: /https?:\/\/\S+/.exec(stderr)?.[0] ?? "", stderr: () => stderr, command };
}

const curl = async (...args: string[]) => (await execa("curl", ["-sS", ...args], { reject: false })).stdout;

beforeAll(async () => {
  busybox = `oci-archive:${(await busyboxImage()).archive}`;
});

afterEach(async () => {
  for (const command of running.splice(0)) {
    command.kill("SIGINT");
    await command;
  }
  expect(await remainingWorkers()).toEqual([]);
});

test("run --http-port serves the image, wakes it on request, and ends in order", async () => {
  const { url, stderr, command } = await serve(
    "--http-port",
    "0",
    "--idle-timeout",
    "1s",
    "--access-log",
    "--name",
    "web",
  );
  expect(await curl(url)).toBe(PAGE);
  const port = new URL(url).port;
  expect(await curl(`http://web.localhost:${port}/`)).toBe(PAGE);
  expect(await curl(`http://other.localhost:${port}/`)).toBe(
    "404 Not Found: no service other is here; there are web.localhost",
  );
  const state = async () => JSON.parse(await curl(`${url}/_health`)).services[0].state;
  await expect.poll(state).toBe("asleep");
  expect(await curl(url)).toBe(PAGE);
  expect(stderr()).toMatch(/web#\d+ 127\.0\.0\.1 "GET \/" 200 \d+ /);
  await expect(serve("--http-port", port, "--name", "web")).rejects.toThrow(
    /a service with the name web is served already/,
  );
  command.kill("SIGINT");
  const { exitCode, stdout } = await command;
  expect([exitCode, stdout]).toEqual([130, expect.stringMatching(/^listening/)]);
  expect(await curl(url)).toBe("");
});

test("two commands share a port, by name", async () => {
  const shared = String(await freePort());
  const first = await serve("--http-port", shared, "--name", "one");
  await serve("--http-port", shared, "--name", "two");
  for (const name of ["one", "two"]) expect(await curl(`http://${name}.localhost:${shared}/`)).toBe(PAGE);
  first.command.kill("SIGINT");
  await first.command;
  await expect.poll(() => curl(`http://two.localhost:${shared}/`)).toBe(PAGE);
  expect(await curl(`http://one.localhost:${shared}/`)).toContain("no service one is here");
});

test("a service in the background has two microVMs on a port, replaces one that dies, and logs its requests", async () => {
  const port = String(await freePort());
  const server = [busybox, "--", "sh", "-c", SERVER];
  const options = ["--http-port", port, "--workers-per-snapshot", "2", "--restart", "always"];
  const { stdout, stderr } = await cli("run", "-q", "-d", "--name", "shop", "-p", "8080", ...options, ...server);
  expect([stdout, stderr]).toEqual(["shop", `supermachine: http://shop.localhost:${port} is port 8080 of the image`]);
  try {
    const url = `http://shop.localhost:${port}/`;
    const workers = async () =>
      JSON.parse(await curl(`${url}_health`)).services[0].workers.map(({ id }: { id: number }) => id);
    expect(await curl(url)).toBe(PAGE);
    await expect.poll(workers).toEqual([1, 2]);
    const { vmPid } = JSON.parse((await cli("inspect", "shop")).stdout)[0];
    process.kill(vmPid, "SIGKILL");
    expect(await curl(url)).toBe(PAGE);
    await expect.poll(workers).toEqual([2, 3]);
    expect((await cli("logs", "--router", "shop")).stdout).toMatch(/shop#1 127\.0\.0\.1 "GET \/" 200 /);
    expect((await cli("logs", "shop")).stdout).toContain("listening");
  } finally {
    await cli("rm", "--force", "shop");
  }
  expect(await curl(`http://shop.localhost:${port}/`)).toBe("");
});

test("a service in the background sleeps when nobody needs it: a request and a command wake it", async () => {
  const begun = new Date().toISOString();
  const options = ["--http-port", "0", "--idle-timeout", "1s", "-p", "8080"];
  const started = await cli("run", "-q", "-d", "--name", "nap", ...options, busybox, "--", "sh", "-c", SERVER);
  expect(started.stdout).toBe("nap");
  const [, port] = /http:\/\/nap\.localhost:(\d+) is port 8080/.exec(started.stderr) ?? [];
  try {
    const asleep = () => expect.poll(async () => (await inspect("nap")).status).toBe("asleep");
    const { vmPid } = await inspect("nap");
    await asleep();
    // A spare is there for whoever wakes it, and nothing else.
    await expect.poll(() => workers().filter((pid) => pid !== vmPid).length).toBe(1);
    expect(workers()).not.toContain(vmPid);
    expect((await cli("ps")).stdout).toMatch(new RegExp(`^nap .* asleep \\d.* ${port}->8080/http `, "m"));
    expect((await cli("port", `:${port}`, "--port", "8080")).stdout).toBe(`nap.localhost:${port}`);
    expect((await cli("pause", "nap")).stderr).toContain("the VM nap is asleep");
    const commands = await Promise.all([
      cli("exec", "nap", "--", "sh", "-c", "sleep 1; echo done"),
      curl(`http://nap.localhost:${port}/`),
    ]);
    expect([commands[0].stdout, commands[1]]).toEqual(["done", PAGE]);
    await asleep();
    expect((await cli("exec", "nap", "--", "echo", "awake")).stdout).toBe("awake");
    await asleep();
    expect(await inspect("nap")).toMatchObject({ restarts: 0 });
    const events = await cli("events", "--no-follow", "--since", begun, "nap");
    expect(events.stdout.match(/ (sleep|wake|die|restart)\b/g)?.join("")).toMatch(/^( sleep wake){2,} sleep$/);
    // What is under way is answered first.
    const slow = curl(`http://nap.localhost:${port}/cgi-bin/slow`);
    const busy = async () =>
      JSON.parse(await curl(`http://nap.localhost:${port}/_health`)).services[0].workers[0]?.active;
    await expect.poll(busy).toBe(1);
    await cli("stop", "nap");
    expect(await slow).toBe("done");
    expect(await inspect("nap")).toMatchObject({ status: "exited" });
  } finally {
    await cli("rm", "--force", "nap");
  }
  expect(await curl(`http://nap.localhost:${port}/`)).toBe("");
});

test("options that contradict each other, and a command that ends at once, are clear errors", async () => {
  const failing = async (...args: string[]) => {
    const { exitCode, stderr } = await execa("node", [CLI, "run", "-q", ...args], { reject: false });
    return `${exitCode}: ${stderr}`;
  };
  expect(await failing("--http-port", "99999", busybox)).toMatch(/^2: .*a port from 0 to 65535/);
  expect(await failing("--http-port", "0", "-p", "80:80", busybox)).toMatch(/^2: .*reached through --http-port alone/s);
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  const taken = String((other.address() as AddressInfo).port);
  await expect(serve("--http-port", taken)).rejects.toThrow(
    `the port ${taken} at 127.0.0.1 is in use by another program`,
  );
  other.close();
  expect(await failing("--inbound-tls-cert", "x.pem", busybox)).toMatch(/^2: .*go together/);
  expect(await failing("-d", "--http-port", "8080", "--access-log", busybox)).toMatch(/^2: .*is for the foreground/);
  expect(await failing("--http-port", "0", "-i", busybox)).toMatch(/^2: .*nobody for -i and -t/);
  expect(await failing("--http-port", "0", busybox, "--", "sh", "-c", "echo no config; exit 3")).toMatch(
    /^1: .*exit code 3 before it listened on port 80; its last output:\nno config/s,
  );
});

test("Chromium loads a page over NAME.localhost, and over TLS once it trusts the local authority", async () => {
  using home = freshHome();
  const plain = await serve("--http-port", "0", "--name", "web");
  const secure = await serve("--http-port", "0", "--name", "web", "--inbound-tls-autogen");
  const authority = join(home.path, "tls", "authority.pem");
  expect(secure.stderr()).toContain(`trust ${authority}`);
  const spki = await execa("sh", [
    "-c",
    `openssl x509 -in ${authority} -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64`,
  ]);
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      `--ignore-certificate-errors-spki-list=${spki.stdout}`,
    ],
  });
  try {
    const page = await browser.newPage();
    for (const { url } of [plain, secure]) {
      const own = url.replace("localhost", "web.localhost");
      await page.goto(own);
      expect(await page.title()).toBe("guest");
      expect(await page.textContent("h1")).toBe(new URL(own).host);
    }
    expect(await curl("--cacert", authority, secure.url)).toBe(PAGE);
    expect(readFileSync(authority, "utf8")).toContain("BEGIN CERTIFICATE");
  } finally {
    await browser.close();
  }
});
