import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, expect, test } from "vitest";
import { busyboxImage } from "../support/images.js";
import { litter, remainingWorkers } from "../support/leftovers.js";
import { freshHome } from "../support/test-home.js";

let current: ReturnType<typeof freshHome>;
let context: string;

beforeEach(() => {
  current = freshHome();
  context = mkdtempSync(join(tmpdir(), "supermachine-build-"));
});
afterEach(() => {
  rmSync(context, { recursive: true });
  current[Symbol.dispose]();
});

function supermachine(argv: string[], input = "") {
  const env = { SUPERMACHINE_HOME: current.path, SUPERMACHINE_BUILD_MEMORY_MIB: "256" };
  return execa("node", ["dist/cli/main.js", ...argv], { env, input, reject: false });
}

test("build, then run: the image is there under its name, and what is found again is shown as cached", async () => {
  const { archive } = await busyboxImage();
  writeFileSync(join(context, "greeting"), "hello\n");
  const text = `FROM oci-archive:${archive}\nARG NAME\nCOPY greeting /\nRUN echo "$NAME" >> /greeting\nCMD ["cat", "/greeting"]\n`;
  writeFileSync(join(context, "Dockerfile"), text);
  const iid = join(context, "iid");
  const argv = [
    "build",
    "-t",
    "hello:latest",
    "-t",
    "registry.example/team/hello:1.0",
    "--build-arg",
    "NAME=you",
    "--iidfile",
    iid,
    context,
  ];
  const built = await supermachine(argv);
  expect(built).toMatchObject({ exitCode: 0, stdout: "hello\nregistry.example/team/hello:1.0" });
  expect(built.stderr).toContain("#2 [0 2/2] RUN echo");
  const deltaOf = (name: string) => statSync(join(current.path, "snapshots", encodeURIComponent(name), "memory.delta"));
  expect(deltaOf("hello").ino).toBe(deltaOf("registry.example/team/hello:1.0").ino);
  expect(readFileSync(iid, "utf8")).toMatch(/^sha256:[0-9a-f]{64}$/);
  expect(await supermachine(["run", "hello"])).toMatchObject({ exitCode: 0, stdout: "hello\nyou" });
  expect((await supermachine(argv)).stderr).toContain("#2 cached");
  expect(await supermachine(["tag", "hello", "hello:other"])).toMatchObject({ exitCode: 0, stdout: "hello:other" });
  expect(await supermachine(["run", "hello:other"])).toMatchObject({ exitCode: 0, stdout: "hello\nyou" });
  const tagged = "registry.example/team/hello:1.0";
  expect(await supermachine(["run", tagged, "--", "echo", "tagged"])).toMatchObject({ stdout: "tagged" });
  expect(await supermachine(["rmi", tagged, "docker.io/library/hello"])).toMatchObject({ stdout: `${tagged}\nhello` });
  const [archivePath, metadata] = [join(context, "out.tar"), join(context, "metadata.json")];
  const output = ["-o", `type=oci,dest=${archivePath}`, "--metadata-file", metadata, "--build-arg", "NAME=you"];
  expect(await supermachine(["build", "-t", "org/app:1.0", ...output, context])).toMatchObject({ stdout: archivePath });
  const facts = JSON.parse(readFileSync(metadata, "utf8"));
  expect(facts).toMatchObject({ outputs: [{ type: "oci", path: archivePath }], steps: { total: 2, cached: 2 } });
  const failed = await supermachine(["build", "-f", "-", context], "FROM scratch\nCOPY nothing /\n");
  expect(failed).toMatchObject({ exitCode: 1, stdout: "" });
  expect(failed.stderr).toContain("Dockerfile:2:1: COPY nothing /");
  const blind = await supermachine(["build", "--debug", context]);
  expect(blind).toMatchObject({ exitCode: 2, stdout: "", stderr: expect.stringContaining("no terminal for it") });
  const host = await supermachine(["build", "--add-host", "app:nowhere", context]);
  expect(host).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("no name with an IP address") });
});

test("Ctrl-C ends a build at once, and nothing of it is left", async () => {
  const { archive } = await busyboxImage();
  writeFileSync(join(context, "Dockerfile"), `FROM oci-archive:${archive}\nRUN echo begun; sleep 100\n`);
  const building = supermachine(["build", "-t", "never", "--progress", "plain", context]);
  let shown = "";
  building.stderr.on("data", (bytes: Buffer) => {
    shown += bytes;
  });
  await expect.poll(() => shown).toContain("#1 begun");
  building.kill("SIGINT");
  expect(await building).toMatchObject({ exitCode: 130, stdout: "" });
  expect(await remainingWorkers()).toEqual([]);
  expect(litter()).toEqual([]);
  expect(await supermachine(["run", "--pull", "never", "never"])).toMatchObject({ exitCode: 1, stdout: "" });
});
