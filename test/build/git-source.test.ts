import { execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { exportBuild } from "../../src/index.js";
import { gitServer } from "../support/servers/git-server.js";
import { listen, type TestServer } from "../support/servers/listen.js";
import { freshHome } from "../support/test-home.js";
import { builtFiles } from "./build-fixture.js";

const HOST = "host.supermachine.internal";
const NOBODY = ["-c", "user.name=A Test", "-c", "user.email=test@example.org"];

let folder: string;
let work: string;
let server: TestServer;
let current: ReturnType<typeof freshHome>;
const commits: Record<string, string> = {};

function git(cwd: string, args: string[], input?: string | Buffer): string {
  const env = {
    PATH: process.env.PATH,
    HOME: folder,
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_COMMITTER_DATE: "1700000000 +0000",
  };
  return execFileSync("git", [...NOBODY, ...args], {
    cwd,
    env,
    encoding: "utf8",
    stdio: "pipe",
    ...(input && { input }),
  }).trim();
}

function commit(name: string): void {
  git(work, ["add", "-A"]);
  git(work, ["commit", "-qm", name]);
  commits[name] = git(work, ["rev-parse", "HEAD"]);
}

/** A commit of a folder that git itself would not make. */
function commitOf(entries: [mode: string, name: string, oid: string][], branch: string): void {
  const tree = Buffer.concat(
    entries.map(([mode, name, oid]) => Buffer.concat([Buffer.from(`${mode} ${name}\0`), Buffer.from(oid, "hex")])),
  );
  const bare = join(folder, "main.git");
  const oid = git(bare, ["hash-object", "-t", "tree", "--literally", "-w", "--stdin"], tree);
  const made = git(bare, ["commit-tree", oid, "-m", branch]);
  git(bare, ["update-ref", `refs/heads/${branch}`, made]);
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "supermachine-git-"));
  work = join(folder, "work");
  mkdirSync(join(work, "docs/deep"), { recursive: true });
  git(work, ["init", "-q", "-b", "main"]);
  git(folder, ["init", "-q", "--bare", "-b", "main", "module.git"]);
  git(folder, ["init", "-q", "-b", "main", "module"]);
  writeFileSync(join(folder, "module/inner"), "inner\n");
  git(join(folder, "module"), ["add", "-A"]);
  git(join(folder, "module"), ["commit", "-qm", "inner"]);
  git(join(folder, "module"), ["push", "-q", join(folder, "module.git"), "main"]);

  // Lines that change a little, for deltas upon deltas.
  const lines = Array.from({ length: 3000 }, (_, i) => `line ${i} ${(i * 7919) % 1000}`);
  for (const name of ["first", "second", "third"]) {
    lines[commits.first ? 10 : 20] = name;
    writeFileSync(join(work, "lines"), lines.join("\n"));
    writeFileSync(join(work, "name"), name);
    commit(name);
  }
  git(work, ["tag", "-a", "v1", "-m", "v1", commits.second ?? ""]);
  git(work, ["tag", "light", commits.second ?? ""]);
  writeFileSync(join(work, "docs/deep/file"), "deep\n");
  writeFileSync(join(work, "run.sh"), "#!/bin/sh\n");
  chmodSync(join(work, "run.sh"), 0o755);
  symlinkSync("deep/file", join(work, "docs/link"));
  symlinkSync("/etc", join(work, "out"));
  git(work, ["-c", "protocol.file.allow=always", "submodule", "add", "-q", join(folder, "module.git"), "sub/module"]);
  writeFileSync(join(work, ".gitmodules"), '[submodule "sub/module"]\n\tpath = sub/module\n\turl = ../module.git\n');
  commit("last");
  git(folder, ["clone", "-q", "--bare", "work", "main.git"]);
  git(join(folder, "main.git"), ["repack", "-adfq", "--depth=50"]);
  server = await gitServer(folder);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  current = freshHome([]);
});
afterEach(() => current[Symbol.dispose]());

const url = (fragment = "", name = "main.git") => `http://${HOST}:${server.port}/${name}${fragment}`;
const options = { egress: { allow: [HOST] } };
const add = (source: string, flags = "") => builtFiles(`FROM scratch\nADD ${flags} ${source} /\n`, options);
const failure = (source: string, flags = "") =>
  add(source, flags).then(
    () => "",
    (error: Error) => error.message,
  );

describe("ADD of a git repository", () => {
  test("is what the server has as HEAD, with its submodules and without .git", async () => {
    const files = (await add(url())).map((line) => line.replace(/=line.*/s, ""));
    expect(files).toEqual([
      expect.stringContaining(".gitmodules="),
      "5 755 0:0 docs/",
      "5 755 0:0 docs/deep/",
      "0 644 0:0 docs/deep/file=deep\n",
      "2 777 0:0 docs/link>deep/file",
      "0 644 0:0 lines",
      "0 644 0:0 name=third",
      "2 777 0:0 out>/etc",
      "0 755 0:0 run.sh=#!/bin/sh\n",
      "5 755 0:0 sub/",
      "5 755 0:0 sub/module/",
      "0 644 0:0 sub/module/inner=inner\n",
    ]);
  });

  test.each([
    ["a branch", () => "#main:docs/deep", "0 644 0:0 file=deep\n"],
    ["a folder of the default branch", () => "#:sub", "0 644 0:0 module/inner=inner\n"],
    ["an annotated tag", () => "#v1", "0 644 0:0 name=second"],
    ["a tag", () => "#light", "0 644 0:0 name=second"],
    ["a full name", () => "#refs/tags/light", "0 644 0:0 name=second"],
    ["a commit that a tag names", () => `#${commits.second}`, "0 644 0:0 name=second"],
    ["a commit within the history", () => `#${commits.first}`, "0 644 0:0 name=first"],
  ])("takes %s", async (_, fragment, file) => {
    expect(await add(url(fragment()))).toContain(file);
  });

  test("takes a commit that the server gives for its name alone", async () => {
    git(join(folder, "main.git"), ["config", "uploadpack.allowReachableSHA1InWant", "true"]);
    expect(await add(url(`#${commits.first}`))).toContain("0 644 0:0 name=first");
    git(join(folder, "main.git"), ["config", "--unset", "uploadpack.allowReachableSHA1InWant"]);
  });

  test("takes git://", async () => {
    await using daemon = await listen(
      createServer((socket) => {
        const child = spawn("git", ["daemon", "--inetd", "--export-all", `--base-path=${folder}`], { stdio: "pipe" });
        socket.pipe(child.stdin).on("error", () => undefined);
        child.stdout.pipe(socket).on("error", () => undefined);
      }),
    );
    expect(await add(`git://${HOST}:${daemon.port}/main.git#v1`)).toContain("0 644 0:0 name=second");
  });

  test("has with --keep-git-dir what git takes for a clone", async () => {
    const dest = join(folder, "kept.tar");
    const root = mkdtempSync(join(folder, "kept-"));
    const dockerfile = `FROM scratch\nADD --keep-git-dir ${url("#v1")} /\n`;
    await exportBuild({ context: folder, dockerfile, ...options, outputs: [{ type: "tar", dest }] });
    execFileSync("tar", ["-C", root, "-xf", dest]);
    expect(git(root, ["status", "--porcelain"])).toBe("");
    expect(git(root, ["rev-parse", "HEAD"])).toBe(commits.second);
    expect(git(root, ["describe", "--dirty"])).toBe("v1");
    expect(git(root, ["fsck", "--full", "--strict"])).toBe("");
    expect(git(root, ["log", "--format=%s"])).toBe("second");
    expect(git(root, ["config", "remote.origin.url"])).toBe(url());
  });

  test("is found again by its commit", async () => {
    const build = async (source: string) => {
      const dest = join(folder, "cached.tar");
      const dockerfile = `FROM scratch\nADD ${source} /\n`;
      return (await exportBuild({ context: folder, dockerfile, ...options, outputs: [{ type: "tar", dest }] })).steps;
    };
    expect(await build(url("#v1"))).toEqual({ total: 1, cached: 0 });
    // The commit in full: nobody is asked.
    expect(await build(`https://nowhere.invalid/x.git#${commits.second}`)).toEqual({ total: 1, cached: 1 });
  });

  test("compares --checksum with the commit", async () => {
    expect(await add(url("#v1"), `--checksum=${commits.second}`)).toContain("0 644 0:0 name=second");
    expect(await failure(url("#v1"), `--checksum=${commits.first}`)).toContain(`it is at the commit ${commits.second}`);
  });
});

describe("a git repository that cannot be had", () => {
  test("is an error that says why", async () => {
    expect(await failure(url("#nothing"))).toContain('neither a branch nor a tag "nothing"');
    expect(await failure(url("#main:nothing"))).toContain("nothing is not a folder of the git repository");
    expect(await failure(url("", "none.git"))).toContain("the git server answered 404");
    expect(await failure(`${url()}#${"0".repeat(40)}`)).toMatch(/the git server (says|did not send)/);
    const private_ = await builtFiles(`FROM scratch\nADD ${url()} /\n`).catch((error: Error) => error.message);
    expect(private_).toContain("not allowed");
  });

  test("does not lead to this machine's files", async () => {
    const secret = join(folder, "secret.git");
    git(folder, ["init", "-q", "--bare", secret]);
    for (const source of [`file://${secret}`, secret, "ext::sh -c true", "out/passwd"]) {
      expect(await failure(JSON.stringify([source]).slice(1, -1).replaceAll('"', ""))).toMatch(
        /is not in the build context/,
      );
    }
    // Links within it lead nowhere but within it.
    expect(await failure(url("#main:out"))).toContain("out is not a folder of the git repository");
    expect(await failure(url("#main:../../../etc"))).toContain("is not a folder of the git repository");
  });

  test("is refused when its folders hold names that lead elsewhere", async () => {
    const blob = git(join(folder, "main.git"), ["hash-object", "-w", "--stdin"], "evil");
    const tree = git(join(folder, "main.git"), ["rev-parse", "HEAD^{tree}"]);
    for (const [branch, name] of [
      ["dots", ".."],
      ["dotgit", ".GIT"],
      ["slash", "a/../../b"],
      ["dot", "."],
    ] as const) {
      commitOf([["100644", name, blob]], branch);
      expect(await failure(url(`#${branch}`)), name).toContain("leads elsewhere");
    }
    commitOf([["40000", "..", tree]], "folder");
    expect(await failure(url("#folder"))).toContain("leads elsewhere");
    commitOf([["160000", "module", commits.first ?? ""]], "unknown");
    expect(await failure(url("#unknown"))).toContain("does not say where its submodule module is");
    const modules = git(
      join(folder, "main.git"),
      ["hash-object", "-w", "--stdin"],
      `[submodule "m"]\npath=m\nurl=file://${folder}/module.git\n`,
    );
    commitOf(
      [
        ["100644", ".gitmodules", modules],
        ["160000", "m", commits.first ?? ""],
      ],
      "local",
    );
    expect(await failure(url("#local"))).toContain("a submodule is at");
  });
});
