import { cpSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { home, Image } from "../../src/index.js";
import { busyboxImage } from "../support/images.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { remainingWorkers } from "../support/leftovers.js";
import { freePort } from "../support/registry/ports.js";

const cli = (...args: string[]) => execa("node", ["dist/cli/main.js", ...args], { reject: false, stdin: "ignore" });
let busybox: string;

beforeAll(async () => {
  busybox = `oci-archive:${(await busyboxImage()).archive}`;
});
afterAll(async () => {
  await cli("rmi", "e2e-ready");
  expect(await remainingWorkers()).toEqual([]);
});

test("pull bakes for the moment and the port that it is told", async () => {
  const options = ["--quiet", "--name", "e2e-ready", "--guest-port", "8080"];
  expect(await cli("pull", ...options, "--ready", "before-workload", busybox)).toMatchObject({
    exitCode: 0,
    stdout: "e2e-ready",
  });
  const image = await Image.fromSnapshot(join(home().snapshots, "e2e-ready"));
  expect([image.ready, image.guestPort]).toEqual(["before-workload", 8080]);
  // Its shell has nothing to read and ends.
  expect(await cli("pull", ...options, "--ready", "listener", busybox)).toMatchObject({
    exitCode: 1,
    stderr: expect.stringMatching(/ended with exit code 0 before it listened on port 8080/),
  });
  expect(await cli("pull", "--ready", "soon", busybox)).toMatchObject({ exitCode: 2 });
});

test("run goes on with a command that listened already when its image was baked", async () => {
  using folder = temporaryFolder();
  const layout = join(folder.path, "web");
  cpSync((await busyboxImage()).layout, layout, { recursive: true });
  const command = ["httpd", "-f", "-p", "8080", "-h", "/etc"].flatMap((word) => ["--config.cmd", word]);
  await execa("umoci", ["config", "--image", `${layout}:latest`, ...command]);
  const port = await freePort();
  const ready = ["--ready", "listener", "--guest-port", "8080"];
  const name = ["--quiet", "--name", "e2e-ready"];
  const running = cli("run", ...name, ...ready, "-p", `${port}:8080`, `oci-layout:${layout}:latest`);
  const get = () => fetch(`http://127.0.0.1:${port}/group`).then((answer) => answer.text());
  await expect.poll(() => get().catch(() => ""), { timeout: 120_000, interval: 200 }).toMatch(/^root:x:0:/);
  // Were it started once more, the port would be taken.
  const { stdout } = await cli("run", "--quiet", "e2e-ready", "--", "sh", "-c", "ps | grep -c '[h]ttpd'");
  expect(stdout).toBe("1");
  running.kill("SIGINT");
  expect((await running).exitCode).toBe(130);
  expect(await cli("run", "--guest-port", "8081", "e2e-ready")).toMatchObject({
    exitCode: 2,
    stderr: expect.stringMatching(/was taken for listener and port 8080/),
  });
});
