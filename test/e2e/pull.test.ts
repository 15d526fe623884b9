import { execa } from "execa";
import { expect, test } from "vitest";
import { startRegistry } from "../support/registry/docker-registry.js";
import { pushBusybox } from "../support/registry/push.js";
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
