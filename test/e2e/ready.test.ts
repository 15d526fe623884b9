import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { home, Image } from "../../src/index.js";
import { busyboxImage } from "../support/images.js";
import { remainingWorkers } from "../support/leftovers.js";

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
