import { createHash } from "node:crypto";
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { exportBuild } from "../../src/index.js";
import { busyboxImage } from "../support/images.js";
import { freshHome } from "../support/test-home.js";

let folder: string;
let context: string;
let base: string;
let current: ReturnType<typeof freshHome>;
let stores: string[];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "supermachine-oracle-"));
  context = join(folder, "context");
  stores = ["--root", join(folder, "root"), "--runroot", join(folder, "run"), "--storage-driver", "vfs"];
  current = freshHome();
  vi.stubEnv("SUPERMACHINE_BUILD_MEMORY_MIB", "256");
  await makeContext();
  base = (await busyboxImage()).archive;
});
afterAll(() => {
  current[Symbol.dispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** Files of all kinds, the same for every case. */
async function makeContext(): Promise<void> {
  const at = (path: string) => join(context, path);
  for (const path of ["dir/sub", "dir/empty", "many", "links/target", "modes", "hard"]) {
    mkdirSync(at(path), { recursive: true });
  }
  const texts = ["file", "other", "dir/a", "dir/sub/b", "many/1.txt", "many/2.txt", "many/3.md", "many/.hidden"];
  for (const path of [...texts, "links/target/t", "links/real", "hard/one", "modes/setuid", "modes/private"]) {
    writeFileSync(at(path), `${path}\n`);
  }
  symlinkSync("real", at("links/to-file"));
  symlinkSync("target", at("links/to-folder"));
  symlinkSync("/etc/passwd", at("links/outside"));
  symlinkSync("nothing", at("links/nowhere"));
  linkSync(at("hard/one"), at("hard/two"));
  chmodSync(at("modes/setuid"), 0o4755);
  chmodSync(at("modes/private"), 0o600);
  chmodSync(at("modes"), 0o1777);
  chmodSync(at("dir/sub"), 0o750);
  for (const [name, ...flags] of [["plain.tar"], ["packed.tar.gz", "-z"]] as const) {
    const owner = ["--owner=12", "--group=34", "--numeric-owner"];
    await execa("tar", ["-C", context, ...owner, ...flags, "-cf", at(name), "dir", "links", "hard", "modes"]);
  }
}

type Entry = Record<string, string | number>;

/** Every file below a folder, with all that a layer keeps of it but its time. */
async function entriesOf(root: string): Promise<Map<string, Entry>> {
  const entries = new Map<string, Entry>();
  const first = new Map<number, string>();
  const walk = (path: string): void => {
    const full = join(root, path);
    const stats = lstatSync(full);
    const entry: Entry = { mode: stats.mode.toString(8), owner: `${stats.uid}:${stats.gid}` };
    if (stats.isSymbolicLink()) entry.link = readlinkSync(full);
    if (stats.isFile()) {
      Object.assign(entry, { size: stats.size, digest: createHash("sha256").update(readFileSync(full)).digest("hex") });
      if (stats.nlink > 1) entry.hardLink = first.get(stats.ino) ?? "";
      if (stats.nlink > 1 && !first.has(stats.ino)) first.set(stats.ino, path);
    }
    entries.set(path, entry);
    if (stats.isDirectory()) for (const name of readdirSync(full).sort()) walk(`${path}/${name}`);
  };
  walk("");
  const { stdout } = await execa("getfattr", ["-R", "-P", "-h", "-d", "-m", "-", "-e", "hex", "."], { cwd: root });
  for (const block of stdout.split("\n\n")) {
    const [, path] = /^# file: (.*)$/m.exec(block) ?? [];
    const entry = path === undefined ? undefined : entries.get(path === "." ? "" : `/${path}`);
    if (entry) entry.xattrs = block.split("\n").slice(1).sort().join(" ");
  }
  return entries;
}

async function buildah(...args: string[]): Promise<string> {
  return (await execa("buildah", [...stores, ...args], { env: { TMPDIR: folder } })).stdout.trim();
}

async function theirs(dockerfile: string): Promise<Map<string, Entry>> {
  const path = join(folder, "Dockerfile");
  writeFileSync(path, dockerfile.replaceAll("$BASE", `oci-archive:${base}`));
  await buildah("bud", "--isolation", "chroot", "--layers=false", "-q", "-f", path, "-t", "oracle", context);
  const container = await buildah("from", "oracle");
  const entries = await entriesOf(await buildah("mount", container));
  await buildah("rm", container);
  return entries;
}

async function ours(dockerfile: string): Promise<Map<string, Entry>> {
  const dest = join(folder, "ours.tar");
  const root = mkdtempSync(join(folder, "ours-"));
  const text = dockerfile.replaceAll("$BASE", `oci-archive:${base}`);
  await exportBuild({ context, dockerfile: text, outputs: [{ type: "tar", dest }] });
  await execa("tar", ["-C", root, "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", dest]);
  return entriesOf(root);
}

/**
 * Where buildah does otherwise, and we do not follow:
 * - the root folder of an image from scratch is 555 in it, 755 in docker's builds and here;
 * - it takes set-user-ID from what comes from the context; docker's builds keep it;
 * - a RUN leaves empty files in /etc, over which it had mounted the host's own.
 */
function isAccepted(path: string, own: Entry | undefined, other: Entry | undefined): boolean {
  if (path === "") return own?.mode === "40755" && other?.mode === "40555" && own.owner === other.owner;
  if (/^\/etc\/(?:hostname|hosts|resolv\.conf)$/.test(path)) return own === undefined && other?.size === 0;
  const isSetuid = path.endsWith("/setuid") && own?.mode === "104755" && other?.mode === "100755";
  return isSetuid && same({ ...own, mode: 0 }, { ...other, mode: 0 });
}

function same(own: Entry | undefined, other: Entry | undefined): boolean {
  return JSON.stringify(own) === JSON.stringify(other);
}

/** Paths that differ, with both entries. */
async function differences(dockerfile: string): Promise<Record<string, [Entry | undefined, Entry | undefined]>> {
  const [own, other] = [await ours(dockerfile), await theirs(dockerfile)];
  expect(own.size).toBeGreaterThan(2);
  const paths = [...new Set([...own.keys(), ...other.keys()])].sort();
  const pairs = paths.map((path): [string, [Entry | undefined, Entry | undefined]] => [
    path,
    [own.get(path), other.get(path)],
  ]);
  return Object.fromEntries(pairs.filter(([path, [a, b]]) => !same(a, b) && !isAccepted(path, a, b)));
}

describe("the files are those that buildah makes", () => {
  it.each<[string, string]>([
    [
      "COPY of files and folders",
      `FROM scratch
COPY file /a/file
COPY file /b/
COPY file other /c/
COPY dir /d
COPY dir/ /e/
COPY dir /f/g/h/
COPY dir/sub dir/empty /i/
COPY many/*.txt /j/
COPY many/[12]* many/?.md /k/
COPY many /l
COPY . /m
COPY dir/../file /n
COPY ./dir/./sub /o
WORKDIR /w/x
COPY file .
COPY file here
COPY dir ./
COPY dir ../y`,
    ],
    [
      "COPY upon what is there",
      `FROM scratch
COPY dir /d
COPY many /d
COPY file /d/a
COPY --chmod=700 dir /d
COPY modes /m
COPY dir /m
COPY file /m
COPY other /m/file`,
    ],
    [
      "modes, owners and links",
      `FROM $BASE
COPY modes /a
COPY --chown=app file /b/
COPY --chown=app:app dir /c
COPY --chown=5 dir /d/
COPY --chown=5:6 modes/ /e/f
COPY --chmod=640 file /g
COPY --chmod=755 dir /h
COPY --chmod=4711 --chown=1:2 modes/private /i/
COPY hard /j
COPY hard/* /k/
COPY hard/one hard/two /p/
COPY links /l
COPY links/to-file /m
COPY links/to-folder /n
COPY links/to-folder/ /o/`,
    ],
    [
      "ADD of archives",
      `FROM scratch
ADD plain.tar /a
ADD packed.tar.gz /b/
ADD plain.tar packed.tar.gz /c/
ADD file /d/
ADD dir /e
COPY plain.tar /f/
ADD --chown=7:8 file /g`,
    ],
    [
      "RUN: removed, replaced and opaque folders, links, modes",
      `FROM $BASE
COPY dir /d
COPY many /many
COPY hard /hard
RUN rm -r /d/sub /many/1.txt && echo new > /many/2.txt && rm -r /hard && mkdir /hard && echo x > /hard/one && mkfifo /pipe \\
  && ln -s many /link && ln /many/3.md /linked && chown 3:4 /d/a && chmod 2750 /d && chmod u+s /linked
RUN rm /d/a && mkdir /d/a && echo x > /d/a/b && rm -r /many && mkdir -m 700 /many && echo hi > "/many/a name" && rm /link
RUN rm -r /d && echo x > /d
USER app
WORKDIR /made/by
RUN echo mine > /tmp/mine && mkdir /tmp/folder && umask 077 && echo x > /tmp/private
COPY file /tmp/copied
COPY --chown=app other .`,
    ],
    [
      "links on the way to the destination",
      `FROM $BASE
RUN mkdir -p /real/sub && ln -s real /rel && ln -s /real/sub /abs && ln -s ../../../real /out && ln -s /missing /dangling
COPY file /rel/a
COPY file /abs/
COPY dir /rel
COPY dir /abs/deep/er
COPY other /out/b`,
    ],
    [
      "COPY --from: owners, modes and links of stages",
      `FROM $BASE AS one
RUN mkdir -p /x/y && echo 1 > /x/f && ln /x/f /x/g && ln -s f /x/l && chown -R 5:6 /x && chmod 4755 /x/f && chmod 700 /x/y
COPY --chown=9:9 dir /z
FROM scratch AS two
COPY --from=one /x /x
COPY --from=0 /z/ /z/
FROM $BASE
COPY --from=two / /all
COPY --from=one /x/f /x/l /some/
COPY --from=one --chown=app /x /owned
COPY --from=one x/y/../f /f
COPY --from=two --chmod=711 /z /modes`,
    ],
  ])("%s", async (_, dockerfile) => {
    expect(await differences(`${dockerfile}\n`)).toEqual({});
  });
});
