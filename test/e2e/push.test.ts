import { existsSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { expect, test } from "vitest";
import { busyboxImage } from "../support/images.js";
import { startRegistry } from "../support/registry/docker-registry.js";
import { freshHome } from "../support/test-home.js";

const CLI = "dist/cli/main.js";
const cli = (...args: string[]) => execa("node", [CLI, ...args], { reject: false, stdin: "ignore" });

test("an image and its snapshot go through a registry to an empty home, where the snapshot runs without a bake", async () => {
  await using registry = await startRegistry();
  const image = `${registry.host}/team/busybox:1`;
  const snapshot = `${registry.host}/team/busybox-snapshot:1`;
  {
    using publisher = freshHome();
    const pushed = await cli("push", `oci-archive:${(await busyboxImage()).archive}`, image);
    expect(pushed.stdout).toMatch(new RegExp(`^${image}@sha256:[0-9a-f]{64}$`));
    expect(pushed.stderr).toMatch(/pushing/);
    expect(await cli("pull", "--name", "mine", image)).toMatchObject({ exitCode: 0, stdout: "mine" });
    const again = await cli("push", "--quiet", "--json", "mine", snapshot);
    expect(JSON.parse(again.stdout)).toMatchObject({ blobs: { present: 0, mounted: 0 } });
    expect(again.stderr).toBe("");
    const file = join(publisher.path, "saved.tar");
    expect(await cli("save", "mine", "-o", file)).toMatchObject({ exitCode: 0, stdout: file });
    expect(existsSync(file)).toBe(true);
    expect(await cli("save", "mine", "-o", file, "--format", "docker-archive")).toMatchObject({ exitCode: 2 });
    expect(await cli("save", "mine")).toMatchObject({ exitCode: 2 });
    expect(await cli("push", "no-such-image:1", `${registry.host}/A:1`)).toMatchObject({ exitCode: 1 });
  }
  using _consumer = freshHome(["assets"]);
  const pulled = await cli("pull", "--name", "theirs", snapshot);
  expect(pulled).toMatchObject({ exitCode: 0, stdout: "theirs" });
  expect(pulled.stderr).not.toMatch(/baking|booting/);
  expect((await cli("run", "theirs", "--", "echo", "restored")).stdout).toBe("restored");
  const run = await cli("run", "--progress", "plain", snapshot, "--", "echo", "by its reference");
  expect(run.stdout).toBe("by its reference");
  expect(run.stderr).not.toMatch(/baking|booting/);
});
