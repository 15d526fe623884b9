import { execa } from "execa";
import { expect, test } from "vitest";
import { debianPythonImage } from "../support/images.js";
import { startRegistry } from "../support/registry/docker-registry.js";
import { pushBusybox, pushFrom } from "../support/registry/push.js";
import { freshHome } from "../support/test-home.js";

const CLI = "dist/cli/main.js";

test("an image is pulled once, runs without its registry, and is not pulled when it must not be", async () => {
  using _home = freshHome();
  const cli = (...args: string[]) => execa("node", [CLI, ...args], { reject: false, stdin: "ignore" });
  const registry = await startRegistry();
  const reference = `${registry.host}/team/busybox:1`;
  try {
    await pushBusybox(reference);
    const pulled = await cli("pull", reference);
    expect(pulled).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^busybox-1-[0-9a-f]{12}$/) });
    expect((await cli("run", reference, "--", "echo", "online")).stdout).toBe("online");
  } finally {
    await registry[Symbol.asyncDispose]();
  }
  const offline = await cli("run", reference, "--", "echo", "offline");
  expect({ stdout: offline.stdout, stderr: offline.stderr }).toEqual({ stdout: "offline", stderr: "" });
  const never = await cli("run", "--pull", "never", `${registry.host}/team/other:1`, "--", "true");
  expect(never).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("must not be pulled") });
  expect(await cli("pull", "--registry-auth", "no-colon", reference)).toMatchObject({ exitCode: 2 });
});

test("Python from a registry runs, runs again without it, and is a cache miss where it was never pulled", async () => {
  using _home = freshHome();
  const cli = (args: string[], env = {}) => execa("node", [CLI, ...args], { reject: false, stdin: "ignore", env });
  const registry = await startRegistry();
  const reference = `${registry.host}/python:test`;
  const python = ["run", reference, "--", "python3", "-V"];
  try {
    await pushFrom(`oci:${(await debianPythonImage()).layout}:latest`, reference);
    const pulled = await cli(["pull", reference]);
    expect(pulled).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^python-test-[0-9a-f]{12}$/) });
    expect(pulled.stderr).toMatch(/^fetching 1 layer, \d+(\.\d+)? MB \.\.\.$/m);
    expect(pulled.stderr).toMatch(/^[0-9a-f]{12}: \d+(\.\d+)? MB in .* \(.*\/s\)$/m);
    expect(await cli(python)).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^Python 3\.\d+\.\d+$/) });
    const quiet = await cli(["pull", "--quiet", "-m", "192M", reference]);
    expect(quiet).toMatchObject({ exitCode: 0, stderr: "" });
  } finally {
    await registry[Symbol.asyncDispose]();
  }
  expect(await cli(python)).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^Python 3/), stderr: "" });
  const never = ["run", "--pull", "never", `${registry.host}/never:test`, "--", "true"];
  const missing = await cli(never, { SUPERMACHINE_LOG: "debug" });
  expect(missing).toMatchObject({ exitCode: 1, stdout: "" });
  expect(missing.stderr).toMatch(/never:test is not here, and it must not be pulled[\s\S]*\nCacheMissError: /);
});

test("the platform is chosen, or refused with what there is", async () => {
  using _home = freshHome();
  const registry = await startRegistry();
  try {
    const reference = `${registry.host}/team/busybox:1`;
    await pushBusybox(reference);
    const cli = (...args: string[]) => execa("node", [CLI, ...args], { reject: false, stdin: "ignore" });
    const foreign = await cli("run", "--platform", "linux/s390x", reference, "--", "true");
    expect(foreign.exitCode).toBe(1);
    expect(foreign.stderr).toMatch(/is for linux\/\w+, not for linux\/s390x[\s\S]*This machine runs images for linux/);
    expect(await cli("pull", "--platform", "linux/", reference)).toMatchObject({ exitCode: 2 });
  } finally {
    await registry[Symbol.asyncDispose]();
  }
});

test.each(["loud", "DEBUG"])("SUPERMACHINE_LOG=%s is wrong usage", async (level) => {
  const wrong = await execa("node", [CLI, "images"], { reject: false, env: { SUPERMACHINE_LOG: level } });
  expect(wrong).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("error, warn, info, debug") });
});
