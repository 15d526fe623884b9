import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { debianPythonImage } from "../support/images.js";
import { remainingWorkers } from "../support/leftovers.js";

const HOST = "host.supermachine.internal";
let image: string;
let web: Server;
let port: number;

beforeAll(async () => {
  image = `oci-archive:${(await debianPythonImage()).archive}`;
  web = createServer((_request, response) => response.end("hello\n")).listen(0, "127.0.0.1");
  await once(web, "listening");
  ({ port } = web.address() as AddressInfo);
});
afterAll(async () => {
  web.close();
  expect(await remainingWorkers()).toEqual([]);
});

/** What a guest gets of the server on the host's loopback and of the metadata service, and what was logged of its tries. */
async function fetch(...flags: string[]) {
  const script = [
    "import socket",
    `for host, port in ('${HOST}', ${port}), ('10.0.2.2', ${port}), ('169.254.169.254', 80):`,
    " try:",
    "  s = socket.create_connection((host, port), 20)",
    "  s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n'); print(s.makefile().read()[-6:].strip())",
    " except OSError as e: print(e.strerror)",
  ].join("\n");
  const args = ["dist/cli/main.js", "run", ...flags, image, "--", "python3", "-c", script];
  const { stdout, stderr } = await execa("node", args, { env: { SUPERMACHINE_LOG: "debug" } });
  return { answers: stdout.split("\n"), log: stderr.split("\n").filter((line) => line.includes(" network: ")) };
}

test.each([
  { flags: [] },
  { flags: ["--egress-policy", "deny_private"] },
  { flags: ["--egress-policy", "denylist:10.0.0.0/8"] },
])("with $flags the host's loopback is out of reach, and the log says why", async ({ flags }) => {
  const { answers, log } = await fetch(...flags);
  expect(answers).toHaveLength(3);
  expect(answers.slice(1)).toEqual(["No route to host", "No route to host"]);
  expect(log.some((line) => line.includes(` info  network: dns ${HOST} not allowed: `))).toBe(true);
  expect(log.some((line) => line.includes(` info  network: tcp 10.0.2.2 port ${port} not allowed: `))).toBe(true);
  expect(log.filter((line) => !line.includes(" not allowed: "))).toEqual([]);
});

test("with --no-egress there is no network at all", async () => {
  const { answers } = await fetch("--no-egress");
  expect(answers.slice(1)).toEqual(["Network is unreachable", "Network is unreachable"]);
});

test("--egress-policy allowlist opens what it names and nothing else; each decision is logged", async () => {
  const { answers, log } = await fetch("--egress-policy", `allowlist:${HOST}:${port}`);
  expect(answers).toEqual(["hello", "hello", "No route to host"]);
  expect(log.some((line) => line.includes(` debug network: tcp 10.0.2.2 port ${port} allowed: `))).toBe(true);
  expect(log.some((line) => line.includes(" info  network: tcp 169.254.169.254 port 80 not allowed: "))).toBe(true);
});
