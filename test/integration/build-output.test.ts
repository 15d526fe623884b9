import {
  createWriteStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { pipeline } from "node:stream/promises";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type BuildOutput, exportBuild, parseBuildOutput } from "../../src/index.js";
import { freshHome } from "../support/test-home.js";

/** Needs no machine: what is tested is how a build is written. */
const DOCKERFILE = `FROM scratch
COPY --chown=3:4 a /one/
COPY --chmod=700 b /two/
COPY dir /one/
WORKDIR /two
LABEL org.example=yes
ENTRYPOINT ["/one/a"]
`;

let current: ReturnType<typeof freshHome>;
let folder: string;
let context: string;

beforeEach(() => {
  current = freshHome([]);
  folder = mkdtempSync(join(tmpdir(), "supermachine-output-"));
  context = join(folder, "context");
  mkdirSync(join(context, "dir/sub"), { recursive: true });
  writeFileSync(join(context, "a"), "first\n");
  writeFileSync(join(context, "b"), "second\n");
  writeFileSync(join(context, "dir/sub/c"), "third\n");
  symlinkSync("sub/c", join(context, "dir/link"));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
  current[Symbol.dispose]();
});

function write(output: Omit<BuildOutput, "dest"> & { dest?: string }, more: object = {}) {
  const dest = join(folder, output.dest ?? "out");
  return exportBuild({ context, dockerfile: DOCKERFILE, names: ["app:1.0"], outputs: [{ ...output, dest }], ...more });
}

async function inspected(reference: string) {
  const skopeo = (...args: string[]) => execa("skopeo", ["--insecure-policy", "inspect", ...args, reference]);
  const [config, raw] = [await skopeo("--config"), await skopeo("--raw")];
  return { config: JSON.parse(config.stdout), manifest: JSON.parse(raw.stdout) };
}

describe("a build is written", () => {
  test("as an OCI archive, a layout and docker's archive that skopeo reads, with a layer for each instruction", async () => {
    const archive = await write({ type: "oci" });
    const layout = await write({ type: "oci", tar: false, dest: "layout" });
    const docker = await write({ type: "docker", dest: "docker.tar" });
    const ids = [archive, layout, docker].map(({ outputs: [output] }) => output?.id);
    expect(new Set(ids).size).toBe(1);
    for (const reference of [`oci-archive:${folder}/out:1.0`, `oci:${folder}/layout:1.0`]) {
      const { config, manifest } = await inspected(reference);
      expect(manifest.config.digest).toBe(ids[0]);
      expect(manifest.layers).toHaveLength(3);
      expect(config.rootfs.diff_ids).toEqual(manifest.layers.map(({ digest }: { digest: string }) => digest));
      expect(config.config).toMatchObject({
        Entrypoint: ["/one/a"],
        WorkingDir: "/two",
        Labels: { "org.example": "yes" },
      });
      const filled = config.history.filter((line: { empty_layer?: boolean }) => !line.empty_layer);
      expect(filled.map((line: { created_by: string }) => line.created_by.split(" ")[0])).toEqual([
        "COPY",
        "COPY",
        "COPY",
      ]);
    }
    const { config } = await inspected(`docker-archive:${folder}/docker.tar:app:1.0`);
    expect(config.config.Entrypoint).toEqual(["/one/a"]);
    const listed = await execa("tar", ["-xOf", join(folder, "docker.tar"), "manifest.json"]);
    expect(JSON.parse(listed.stdout)[0].RepoTags).toEqual(["docker.io/library/app:1.0"]);
  });

  test("squashed, and buildah begins with it", async () => {
    await write({ type: "oci", squash: true });
    const { manifest } = await inspected(`oci-archive:${folder}/out`);
    expect(manifest.layers).toHaveLength(1);
    const stores = ["--root", join(folder, "root"), "--runroot", join(folder, "run"), "--storage-driver", "vfs"];
    const buildah = async (...args: string[]) => (await execa("buildah", [...stores, ...args])).stdout.trim();
    const container = await buildah("from", `oci-archive:${folder}/out`);
    const root = await buildah("mount", container);
    const { stdout } = await execa("find", [".", "-mindepth", "1", "-printf", "%y %m %U:%G %p\\n"], { cwd: root });
    expect(stdout.split("\n").sort()).toEqual([
      "d 755 0:0 ./one/sub",
      "d 755 0:0 ./two",
      "d 755 3:4 ./one",
      "f 644 0:0 ./one/sub/c",
      "f 644 3:4 ./one/a",
      "f 700 0:0 ./two/b",
      "l 777 0:0 ./one/link",
    ]);
    await buildah("rm", container);
  });

  test("byte for byte the same at another time, with SOURCE_DATE_EPOCH", async () => {
    const outputs = ["oci", "docker", "tar", "erofs"] as const;
    const bytes = async () => {
      const made: Buffer[] = [];
      for (const type of outputs) {
        await write({ type }, { noCache: true, sourceDateEpoch: 1_000_000_000 });
        made.push(readFileSync(join(folder, "out")));
      }
      return made;
    };
    const first = await bytes();
    writeFileSync(join(context, "a"), "first\n");
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    const second = await bytes();
    expect(outputs.filter((_, i) => !first[i]?.equals(second[i] as Buffer))).toEqual([]);
    await write({ type: "oci" }, { sourceDateEpoch: 5 });
    expect((await inspected(`oci-archive:${folder}/out`)).config.created).toBe("1970-01-01T00:00:05Z");
  });

  test("with all of its names", async () => {
    const names = ["app:1.0", "registry.example/team/app"];
    await write({ type: "docker", dest: "docker.tar" }, { names });
    const listed = await execa("tar", ["-xOf", join(folder, "docker.tar"), "manifest.json"]);
    const full = ["docker.io/library/app:1.0", "registry.example/team/app:latest"];
    expect(JSON.parse(listed.stdout)[0].RepoTags).toEqual(full);
    await write({ type: "oci", dest: "oci.tar" }, { names });
    const tags = ["1.0", "latest"].map((tag) => inspected(`oci-archive:${folder}/oci.tar:${tag}`));
    const [one, two] = await Promise.all(tags);
    expect(one?.manifest).toEqual(two?.manifest);
  });

  test("to standard output, after a squashfs image in the same build", async () => {
    const [stdout, archive] = [new PassThrough(), join(folder, "piped.tar")];
    const received = pipeline(stdout, createWriteStream(archive));
    const outputs = [{ type: "squashfs", dest: join(folder, "image.squashfs") } as const, parseBuildOutput("-")];
    const how = { context, dockerfile: DOCKERFILE, sourceDateEpoch: 1_000_000_000, stdout };
    const written = await exportBuild({ ...how, outputs });
    stdout.end();
    await received;
    expect(written.outputs.map(({ path }) => path)).toEqual([join(folder, "image.squashfs"), "-"]);
    const names = ["one", "one/a", "one/link", "one/sub", "one/sub/c", "two", "two/b"];
    const listed = await execa("tar", ["-tf", archive]);
    expect(
      listed.stdout
        .split("\n")
        .map((name) => name.replace(/\/$/, ""))
        .sort(),
    ).toEqual(expect.arrayContaining(names));
    const image = await execa("unsquashfs", ["-lln", "-UTC", join(folder, "image.squashfs")]);
    const lines = image.stdout.split("\n").map((line) => line.replace(/ +/g, " "));
    expect(lines).toContain("-rw-r--r-- 3/4 6 2001-09-09 01:46 squashfs-root/one/a");
    expect(lines).toContain("lrwxrwxrwx 0/0 5 2001-09-09 01:46 squashfs-root/one/link -> sub/c");
  });

  test("into a folder, which has to be empty", async () => {
    await write({ type: "local" });
    expect(readFileSync(join(folder, "out/one/link"), "utf8")).toBe("third\n");
    await expect(write({ type: "local" })).rejects.toThrow("is not empty");
  });

  test("not at all when its destination or its name cannot be, and a failing build leaves nothing", async () => {
    mkdirSync(join(folder, "there"));
    await expect(write({ type: "oci", dest: "there" })).rejects.toThrow("is there already");
    await expect(write({ type: "oci" }, { names: ["a", "B"] })).rejects.toThrow("lower case");
    await expect(exportBuild({ context, outputs: ["-", "type=oci"].map(parseBuildOutput) })).rejects.toThrow("both");
    await expect(write({ type: "tar" }, { dockerfile: "FROM scratch\nCOPY missing /\n" })).rejects.toThrow("missing");
    expect(existsSync(join(folder, "out"))).toBe(false);
  });
});
