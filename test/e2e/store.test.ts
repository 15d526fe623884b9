import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { busyboxImage } from "../support/images.js";
import { freshHome } from "../support/test-home.js";

const CLI = "dist/cli/main.js";
const cli = (...args: string[]) => execa("node", [CLI, ...args], { reject: false, stdin: "ignore" });

let current: ReturnType<typeof freshHome>;
let reference: string;
beforeAll(async () => {
  current = freshHome();
  // Pruned here: the suite's own have to stay.
  rmSync(join(current.path, "templates"));
  reference = `oci-archive:${(await busyboxImage()).archive}`;
  const { exitCode } = await cli("pull", "--quiet", "--name", "kept", reference);
  expect(exitCode).toBe(0);
});
afterAll(() => current[Symbol.dispose]());

const layerFile = () => join(current.path, "layers", readdirSync(join(current.path, "layers"))[0] ?? "");

test("images says what each takes, as a table and as JSON", async () => {
  const { stdout, stderr } = await cli("images");
  expect(stdout).toMatch(
    /^NAME +REFERENCE +DIGEST +AGE +OWN +LAYERS +SHARED\nkept +oci-archive:.* [0-9a-f]{12} +\d+[smh] /,
  );
  expect(stderr).toMatch(/1 snapshot; .* on disk in /);
  const { images, store } = JSON.parse((await cli("images", "--json")).stdout);
  expect(images).toMatchObject([{ name: "kept", reference, disk: { sharedLayers: 0 } }]);
  expect(store.total).toBeGreaterThan(images[0].disk.unique);
});

test("doctor --store finds what is damaged, and --fix removes it", async () => {
  expect(await cli("doctor", "--store")).toMatchObject({ exitCode: 0, stdout: /^ok +checked 1 layers, 1 templates/ });
  const file = layerFile();
  const bytes = readFileSync(file);
  bytes[10_000] = (bytes[10_000] ?? 0) ^ 1;
  writeFileSync(file, bytes);
  const found = await cli("doctor", "--store");
  expect(found.exitCode).toBe(1);
  expect(found.stdout).toMatch(/^FAIL +layer sha256:.*checksum does not match\n +-> .*pull/);
  expect(found.stdout).toMatch("1 problem; `supermachine doctor --store --fix`");
  const { problems } = JSON.parse((await cli("doctor", "--store", "--fix", "--json")).stdout);
  expect(problems).toMatchObject([
    { kind: "layer", fixed: true },
    { kind: "snapshot", item: "kept", fixed: false },
  ]);
  expect((await cli("run", "--quiet", "--name", "kept", reference, "--", "echo", "again")).stdout).toBe("again");
  expect((await cli("doctor", "--store")).exitCode).toBe(0);
  expect(await cli("doctor", "--fix")).toMatchObject({ exitCode: 2, stderr: /needs '--store'/ });
});

test("rmi takes a reference, and prune what is left of it", async () => {
  // Made anew when an earlier try has removed it.
  await cli("pull", "--quiet", "--name", "kept", reference);
  expect((await cli("rmi", "sha256:000000")).exitCode).toBe(1);
  expect(await cli("rmi", reference)).toMatchObject({ exitCode: 0, stdout: "kept" });
  const dry = await cli("prune", "--dry-run", "--all");
  expect(dry.stdout).toMatch(/^layer +\S+ MiB +sha256:[0-9a-f]{64}\ntemplate +\S+ MiB +[0-9a-f]{24}$/m);
  expect(dry.stderr).toMatch(/MiB would be freed$/);
  expect((await cli("prune", "--older-than", "1h")).stdout).not.toMatch("layer");
  expect(JSON.parse((await cli("prune", "--all", "--json")).stdout).freedBytes).toBeGreaterThan(1_000_000);
  expect(await cli("prune", "--all")).toMatchObject({ exitCode: 0, stdout: "", stderr: "There is nothing to remove." });
  expect(await cli("prune", "--older-than", "soon")).toMatchObject({ exitCode: 2 });
});
