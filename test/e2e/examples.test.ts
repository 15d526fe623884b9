import { readdirSync } from "node:fs";
import { execa } from "execa";
import { beforeAll, expect, test } from "vitest";
import { debianPythonImage, servicesImage } from "../support/images.js";
import { remainingWorkers } from "../support/leftovers.js";

const EXPECTED: Record<string, string> = {
  "dev-server.ts": "before the edit\nafter the edit",
  "egress.ts":
    "denied tcp 169.254.169.254\ndenied dns example.org\ndenied dns example.org\nallowed\nURLError\nURLError",
  "files.ts": "[1, 2, 3]",
  "fork.ts": "clone-0 0\nclone-1 1\nclone-2 4\nprepared",
  "pool.ts": "1 4 9 16 25 36",
  "postgres.ts": "Ada\nAda, Grace",
  "processes.ts": "built\n42\nlistening\n0 build.py result",
  "run.ts": "42 0",
  "snapshot.ts": "one ready\ntwo ready",
  "stream.ts": "ONE\nTWO\n0",
  "untrusted.ts": 'ERR_SUPERMACHINE_EXEC_TIMEOUT "working\\n"',
};
let python: string;
let services: string;

beforeAll(async () => {
  python = `oci-archive:${(await debianPythonImage()).archive}`;
  services = `oci-archive:${(await servicesImage()).archive}`;
});

test("every example is tested", () => {
  expect(readdirSync("examples").sort()).toEqual(Object.keys(EXPECTED));
});

test.each(Object.entries(EXPECTED))("examples/%s does what it says", async (name, expected) => {
  const image = name === "postgres.ts" ? services : python;
  const { stdout } = await execa("node", ["--import", "tsx", `examples/${name}`, image]);
  expect(stdout).toBe(expected);
  expect(await remainingWorkers()).toEqual([]);
});
