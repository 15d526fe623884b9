import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { shownContext } from "../../src/build/main-context.js";
import type { BuildEvent, ExportOptions, ProgressEvent } from "../../src/index.js";
import { folderOfFile } from "../support/folder-of-file.js";
import { gitServer } from "../support/servers/git-server.js";
import { listen, type TestServer } from "../support/servers/listen.js";
import { TarBuilder } from "../support/tar-builder.js";
import { freshHome } from "../support/test-home.js";
import { builtFiles } from "./build-fixture.js";

const HOST = "host.supermachine.internal";
let folder: string;
let repositories: TestServer;
let web: TestServer;
let current: ReturnType<typeof freshHome>;
const served = new Map<string, Buffer>();

function git(cwd: string, ...args: string[]): void {
  const env = { PATH: process.env.PATH, HOME: folder, GIT_CONFIG_NOSYSTEM: "1" };
  execFileSync("git", ["-c", "user.name=A", "-c", "user.email=a@example.org", ...args], { cwd, env, stdio: "pipe" });
}

beforeAll(async () => {
  folder = folderOfFile();
  const work = join(folder, "work");
  const files = {
    Dockerfile: "FROM scratch\nCOPY . /all/\n",
    ".dockerignore": "left\nkept/*\n!kept/this\nDockerfile\n.dockerignore\n",
    left: "left",
    "kept/this": "this",
    "kept/other": "other",
    "part/Dockerfile": "FROM scratch\nCOPY name link /\n",
    "part/name": "part",
    "other.Dockerfile": "FROM scratch\nCOPY left kept/ /\n",
    "other.Dockerfile.dockerignore": "kept/this\n",
  };
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(work, name)), { recursive: true });
    writeFileSync(join(work, name), text);
  }
  symlinkSync("../../../../etc/hostname", join(work, "part/link"));
  symlinkSync("/etc/passwd", join(work, "out"));
  git(work, "init", "-q", "-b", "main");
  git(work, "add", "-A");
  git(work, "commit", "-qm", "all");
  git(folder, "clone", "-q", "--bare", "work", "app.git");
  repositories = await gitServer(folder);
  web = await listen(
    createServer((request, response) => {
      const content = served.get(request.url?.split("?")[0] ?? "");
      response.writeHead(content ? 200 : 404).end(content);
    }),
  );
});
afterAll(async () => {
  await repositories[Symbol.asyncDispose]();
  await web[Symbol.asyncDispose]();
});
beforeEach(() => {
  current = freshHome([]);
});
afterEach(() => current[Symbol.dispose]());

const repository = (fragment = "") => `http://${HOST}:${repositories.port}/app.git${fragment}`;
const url = (path: string) => `http://${HOST}:${web.port}${path}`;
const build = (context: string, options: Partial<ExportOptions> = {}) =>
  builtFiles("", { context, dockerfile: undefined, egress: { allow: [HOST] }, ...options });
const failure = (context: string, options: Partial<ExportOptions> = {}) =>
  build(context, options).then(
    () => "",
    (error: Error) => error.message,
  );

describe("a git repository as the context", () => {
  test("has the Dockerfile, what it copies, and what is left out of that", async () => {
    expect(await build(repository("#main"))).toEqual([
      "5 755 0:0 all/",
      "5 755 0:0 all/kept/",
      "0 644 0:0 all/kept/this=this",
      "0 644 0:0 all/other.Dockerfile=FROM scratch\nCOPY left kept/ /\n",
      "0 644 0:0 all/other.Dockerfile.dockerignore=kept/this\n",
      "2 777 0:0 all/out>/etc/passwd",
      "5 755 0:0 all/part/",
      "0 644 0:0 all/part/Dockerfile=FROM scratch\nCOPY name link /\n",
      "2 777 0:0 all/part/link>../../../../etc/hostname",
      "0 644 0:0 all/part/name=part",
    ]);
  });

  test("is a folder of it, or has another Dockerfile with an ignore file of its own", async () => {
    const failed = await failure(repository("#:part"));
    // The link leads to nothing within the context.
    expect(failed).toContain("link is not in the build context");
    expect(await build(repository("#:part"), { dockerfile: "FROM scratch\nCOPY name /\n" })).toEqual([
      "0 644 0:0 name=part",
    ]);
    expect(await build(repository(), { file: "other.Dockerfile" })).toEqual([
      "0 644 0:0 left=left",
      "0 644 0:0 other=other",
    ]);
  });

  test("is found again, as long as nothing has changed", async () => {
    const states: string[] = [];
    const onBuild = (event: BuildEvent) => {
      if (event.kind === "step" && event.state !== "started") states.push(event.state);
    };
    const phases: string[] = [];
    const onProgress = ({ phase, item, finished }: ProgressEvent) => void phases.push(`${phase} ${item} ${finished}`);
    await build(repository(), { onBuild, onProgress });
    expect(phases.slice(0, 2)).toEqual([`fetch ${repository()} undefined`, `fetch ${repository()} true`]);
    await build(repository("#main"), { onBuild });
    expect(states).toEqual(["finished", "cached"]);
  });

  test("leads to no file of this machine", async () => {
    for (const file of ["out", "../../../../etc/passwd", "/etc/passwd", "part/link"]) {
      expect(await failure(repository(), { file }), file).toContain("is not in http://");
    }
    expect(await failure(repository(), { dockerfile: "FROM scratch\nCOPY out/ /\n" })).toContain("is not in the build");
    expect(await failure(repository("#none"))).toContain("neither a branch nor a tag");
    expect(await failure(repository(), { egress: undefined })).toContain("not allowed");
    expect(await failure(`git@${HOST}:x`)).toContain("--ssh default");
  });
});

describe("a URL as the context", () => {
  test("is an archive, whose files belong to root when they are copied", async () => {
    const tar = new TarBuilder()
      .file("Dockerfile", "FROM scratch\nCOPY a dir/ /x/\n")
      .file("a", "a", { uid: 5, gid: 6 })
      .file("dir/b", "b", { uid: 7 });
    served.set("/context.tar.gz", gzipSync(tar.finish()));
    expect(await build(url("/context.tar.gz?token=secret"))).toEqual([
      "5 755 0:0 x/",
      "0 644 0:0 x/a=a",
      "0 644 0:0 x/b=b",
    ]);
  });

  test("is a Dockerfile alone, with nothing to copy from", async () => {
    served.set("/some.file", Buffer.from("FROM scratch\nCOPY <<x /x\ntext\nx\n"));
    expect(await build(url("/some.file"))).toEqual(["0 644 0:0 x=text\n"]);
    served.set("/copies", Buffer.from("FROM scratch\nCOPY copies /x\n"));
    expect(await failure(url("/copies"))).toContain("copies is not in the build context");
  });

  test("that leads to nothing is an error", async () => {
    expect(await failure(url("/none"))).toContain("the server answered 404");
    served.set("/empty.tar", new TarBuilder().file("a", "").file("b", "").finish());
    expect(await failure(url("/empty.tar"))).toContain("Dockerfile is not in http://");
  });
});

test.each([
  ["https://me:secret@host/app.git#main:dir", "https://host/app.git#main:dir"],
  ["https://host/x.tar.gz?token=secret", "https://host/x.tar.gz"],
  ["git@host:team/app.git#v1", "host:team/app.git#v1"],
  ["ssh://me@host/app", "ssh://host/app"],
  ["/a/./b", "/a/b"],
])("%s is shown as %s", (context, shown) => expect(shownContext({ context })).toBe(shown));
