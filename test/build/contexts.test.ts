import { rmSync, symlinkSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parseBuildContext, parseContext } from "../../src/build/contexts.js";
import { type ExportOptions, exportBuild } from "../../src/index.js";
import { listen } from "../support/servers/listen.js";
import { TarBuilder } from "../support/tar-builder.js";
import { freshHome } from "../support/test-home.js";
import { builtFiles, folderWith } from "./build-fixture.js";

let current: ReturnType<typeof freshHome>;
let folder: string;

beforeEach(() => {
  current = freshHome([]);
  folder = folderWith({
    "main/own": "own",
    "other/a": "a",
    "other/b/c": "c",
    "other/left": "x",
    "other/.dockerignore": "left\n",
  });
  symlinkSync("/etc", join(folder, "other/out"));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
  current[Symbol.dispose]();
});

const build = (dockerfile: string, contexts: Record<string, string>, options: Partial<ExportOptions> = {}) =>
  builtFiles(dockerfile, { context: join(folder, "main"), contexts, ...options });

describe("a named context", () => {
  test("is a folder with an ignore file of its own, and nothing outside of it", async () => {
    const contexts = { other: join(folder, "other") };
    expect(await build("FROM scratch\nCOPY own /\nCOPY --from=other b /b/\nCOPY --from=other a /\n", contexts)).toEqual(
      ["0 644 0:0 a=a", "5 755 0:0 b/", "0 644 0:0 b/c=c", "0 644 0:0 own=own"],
    );
    for (const source of ["left", "out/passwd", "../main/own", "/../main/own"]) {
      await expect(build(`FROM scratch\nCOPY --from=other ${source} /\n`, contexts), source).rejects.toThrow(
        "is not in the build context other",
      );
    }
  });

  test("comes before stages and images, in FROM too", async () => {
    const contexts = { base: join(folder, "other"), "example.org/image:1": join(folder, "main") };
    const names = (lines: string[]) => lines.map((line) => line.split(" ")[3]?.replace(/=.*/s, ""));
    const stages = "FROM scratch AS base\nCOPY nothing /\nFROM base\nCOPY --from=example.org/image:1 own /from-image\n";
    expect(names(await build(stages, contexts))).toEqual([".dockerignore", "a", "b/", "b/c", "from-image", "out>/etc"]);
    expect(names(await build("FROM example.org/image:1\n", contexts))).toEqual(["own"]);
    // A stage's name is for the one before it, as long as no context has it.
    expect(names(await build("FROM scratch AS base\nCOPY own /stage\nFROM base\n", {}))).toEqual(["stage"]);
  });

  test("is an image with its configuration", async () => {
    const dest = join(folder, "layout");
    const dockerfile = "FROM scratch\nCOPY own /in-image\nENV A=1\nONBUILD COPY own /by-trigger\n";
    const context = join(folder, "main");
    await exportBuild({ context, dockerfile, outputs: [{ type: "oci", tar: false, dest }] });
    const contexts = { base: `oci-layout://${dest}` };
    expect(await build("FROM base\nCOPY own /env-$A\n", contexts)).toEqual([
      "0 644 0:0 by-trigger=own",
      "0 644 0:0 env-1=own",
      "0 644 0:0 in-image=own",
    ]);
    expect(await build("FROM scratch\nCOPY --from=base in-image /\n", contexts)).toEqual(["0 644 0:0 in-image=own"]);
  });

  test("is an archive on the web, unpacked once", async () => {
    let requests = 0;
    const archive = gzipSync(new TarBuilder().file("inside", "packed").finish());
    await using server = await listen(
      createServer((request, response) => {
        requests++;
        if (request.headers["if-none-match"]) response.writeHead(304).end();
        else response.writeHead(200, { etag: '"1"' }).end(archive);
      }),
    );
    const host = "host.supermachine.internal";
    const contexts = { web: `http://${host}:${server.port}/x.tgz` };
    const options = { egress: { allow: [host] } };
    for (const dockerfile of ["FROM web\n", "FROM scratch\nCOPY --from=web inside /\n"]) {
      expect(await build(dockerfile, contexts, options)).toEqual(["0 644 0:0 inside=packed"]);
    }
    expect(requests).toBe(2);
    await expect(build("FROM web\n", contexts)).rejects.toThrow("not allowed");
  });

  test("that is wrong is an error before anything is done", async () => {
    await expect(build("FROM scratch\n", { x: join(folder, "none") })).rejects.toThrow("none is not a folder");
    await expect(build("FROM scratch\n", { x: "target:y" })).rejects.toThrow("cannot be target:y");
    expect(() => parseBuildContext("name")).toThrow("is not of the form NAME=FOLDER");
  });
});

test.each([
  ["./x", { kind: "folder", path: "./x" }],
  ["docker-image://debian:12", { kind: "image", reference: "debian:12" }],
  ["oci-layout:///x/y:tag", { kind: "image", reference: "oci-layout:/x/y:tag" }],
  ["oci-layout:x@sha256:0", { kind: "image", reference: "oci-layout:x@sha256:0" }],
  ["oci-archive:x.tar", { kind: "image", reference: "oci-archive:x.tar" }],
  ["https://x/y.git#main", { kind: "remote", source: "https://x/y.git#main" }],
  ["https://x/y.tar.gz", { kind: "remote", source: "https://x/y.tar.gz" }],
])("%s", (text, expected) => {
  expect(parseContext("name", text)).toEqual(expected);
  expect(parseBuildContext(`name=${text}`)).toEqual(["name", text]);
});
