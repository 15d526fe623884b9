import { createHash } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type BuildEvent, pruneBuildCache } from "../../src/index.js";
import { listen, type TestServer } from "../support/servers/listen.js";
import { TarBuilder } from "../support/tar-builder.js";
import { freshHome } from "../support/test-home.js";
import { builtFiles } from "./build-fixture.js";

const HOST = "host.supermachine.internal";
const archive = gzipSync(new TarBuilder().file("dir/inside", "packed").finish());

let current: ReturnType<typeof freshHome>;
let server: TestServer;
let requests: IncomingMessage[];
let content: Buffer;

beforeEach(async () => {
  current = freshHome([]);
  requests = [];
  content = Buffer.from("text");
  server = await listen(
    createServer((request, response) => {
      requests.push(request);
      if (request.url?.startsWith("/missing")) response.writeHead(404);
      response.end(content);
    }),
  );
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  current[Symbol.dispose]();
});

const url = (path: string) => `http://${HOST}:${server.port}${path}`;
const build = (dockerfile: string, options = {}) =>
  builtFiles(`FROM scratch\n${dockerfile}\n`, { egress: { allow: [HOST] }, ...options });

describe("ADD of a URL", () => {
  test("is a file with the name that the URL's path ends in, and its owner's alone", async () => {
    expect(await build(`ADD ${url("/a/file%20name?x=/y#z")} /b/`)).toEqual([
      "5 755 0:0 b/",
      "0 600 0:0 b/file name=text",
    ]);
    expect(await build(`ADD --chmod=755 --chown=1:2 ${url("/a/b/")} /c`)).toEqual(["0 755 1:2 c=text"]);
    expect(await build(`WORKDIR /w\nADD ${url("/one")} ${url("/two")} ./`)).toEqual([
      "5 755 0:0 w/",
      "0 600 0:0 w/one=text",
      "0 600 0:0 w/two=text",
    ]);
  });

  test("is not unpacked unless it is told so", async () => {
    content = archive;
    expect((await build(`ADD ${url("/x.tar.gz")} /a/`)).map((line) => line.replace(/=.*/s, ""))).toEqual([
      "5 755 0:0 a/",
      "0 600 0:0 a/x.tar.gz",
    ]);
    expect(await build(`ADD --unpack ${url("/x.tar.gz")} /a/`)).toContain("0 644 0:0 a/dir/inside=packed");
  });

  test("is found again by its content", async () => {
    const states: string[] = [];
    const onBuild = (event: BuildEvent) => {
      if (event.kind === "step" && event.state !== "started") states.push(event.state);
    };
    const sha256 = createHash("sha256").update(content).digest("hex");
    await build(`ADD ${url("/x")} /x`, { onBuild });
    await build(`ADD ${url("/x")} /x`, { onBuild });
    await build(`ADD --checksum=sha256:${sha256} ${url("/x")} /x`, { onBuild });
    expect(requests).toHaveLength(2);
    content = Buffer.from("other");
    expect(await build(`ADD ${url("/x")} /x`, { onBuild })).toEqual(["0 600 0:0 x=other"]);
    expect(states).toEqual(["finished", "cached", "cached", "finished"]);
  });

  test("is not pruned while a build uses it, and fetched again when it was", async () => {
    const kept: number[] = [];
    const onBuild = (event: BuildEvent) => {
      if (event.kind === "step" && event.state === "started") started.push(pruneBuildCache());
    };
    const started: ReturnType<typeof pruneBuildCache>[] = [];
    for (const _ of [1, 2]) {
      expect(await build(`ADD ${url("/x")} /x`, { onBuild, noCache: true })).toEqual(["0 600 0:0 x=text"]);
      for (const { removed } of await Promise.all(started.splice(0))) kept.push(removed.length);
      const { removed } = await pruneBuildCache();
      expect(removed.map(({ kind }) => kind)).toEqual(expect.arrayContaining(["download", "layer", "step"]));
    }
    expect(kept).toEqual([0, 0]);
  });

  test("names the instruction and its line when it fails", async () => {
    const failure = async (dockerfile: string, options = {}) =>
      build(dockerfile, options).then(
        () => "",
        (error: Error) => error.message,
      );
    const missing = await failure(`\nADD ${url("/missing")} /x`);
    expect(missing).toContain("Dockerfile:3:1: ADD http://");
    expect(missing).toContain("the server answered 404");
    expect(await failure(`ADD --checksum=sha256:${"0".repeat(64)} ${url("/x")} /x`)).toContain(
      "not what --checksum says",
    );
    expect(await failure(`ADD --checksum=sha256:0 ${url("/x")} /x`)).toMatch(
      /Dockerfile:2:16: "sha256:0" is no checksum/,
    );
    expect(await failure(`ADD ${url("/")} /x/`)).toContain("names no file");
    const asked = requests.length;
    expect(await failure(`ADD ${url("/x")} /x`, { egress: undefined })).toContain("not allowed");
    expect(await failure("ADD http://169.254.169.254/latest /x", { egress: undefined })).toContain("not public");
    expect(await failure(`ADD ${url("/x")} /x`, { egress: "none" })).toContain("there is no network");
    expect(requests).toHaveLength(asked);
  });
});
