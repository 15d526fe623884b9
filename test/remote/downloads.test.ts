import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { EgressPolicy } from "../../src/network/index.js";
import { Remote } from "../../src/remote/index.js";
import { listen, type TestServer } from "../support/servers/listen.js";

const HOST = "host.supermachine.internal";
const LOOPBACK: EgressPolicy = { allow: [HOST] };
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

let folder: string;
let server: TestServer;
let requests: IncomingMessage[];
let answer: (request: IncomingMessage, response: ServerResponse) => void;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "supermachine-remote-"));
  requests = [];
  server = await listen(
    createServer((request, response) => {
      requests.push(request);
      answer(request, response);
    }),
  );
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

const url = (path: string, host = HOST) => new URL(`http://${host}:${server.port}${path}`);

async function download(path: string, checksum?: string, limits = {}, policy = LOOPBACK) {
  await using remote = new Remote(folder, policy, { attempts: 2, backoffMs: 1, ...limits });
  return await remote.download(url(path), { checksum });
}

test("a file is fetched once, and again only when the server says that it has changed", async () => {
  let text = "first";
  answer = ({ headers }, response) => {
    const etag = `"${sha256(text)}"`;
    if (headers["if-none-match"] === etag) response.writeHead(304).end();
    else response.writeHead(200, { etag, "last-modified": "Wed, 21 Oct 2015 07:28:00 GMT" }).end(text);
  };
  const first = await download("/file");
  expect(first).toMatchObject({ sha256: sha256("first"), size: 5, mtimeSeconds: 1445412480 });
  expect(readFileSync(first.path, "utf8")).toBe("first");
  expect(await download("/file")).toEqual(first);
  expect(requests.map(({ headers }) => headers["if-none-match"] === undefined)).toEqual([true, false]);
  text = "second";
  expect(await download("/file")).toMatchObject({ sha256: sha256("second") });
  // What was cut off or damaged here is fetched anew.
  writeFileSync((await download("/file")).path, "sec");
  expect(readFileSync((await download("/file")).path, "utf8")).toBe("second");
});

test("with its checksum known, nobody is asked; another checksum is an error and leaves nothing", async () => {
  answer = (_, response) => response.end("content");
  const wrong = `sha256:${sha256("other")}`;
  await expect(download("/file", wrong)).rejects.toThrow(`it is sha256:${sha256("content")}`);
  expect(readdirSync(join(folder, "downloads"))).toEqual([]);
  const right = `sha256:${sha256("content")}`;
  expect((await download("/file", right)).mtimeSeconds).toBe(0);
  await download("/file", right);
  expect(requests).toHaveLength(2);
  const sha512 = `sha512:${createHash("sha512").update("content").digest("hex")}`;
  await download("/file", sha512);
  await expect(download("/file", sha512.replace(/.$/, "x"))).rejects.toThrow("is not what --checksum says");
});

test("a checksum is compared also of what the server says is as it was", async () => {
  answer = ({ headers }, response) =>
    headers["if-none-match"] ? response.writeHead(304).end() : response.writeHead(200, { etag: '"1"' }).end("content");
  await download("/file");
  await expect(download("/file", `sha256:${sha256("other")}`)).rejects.toThrow("is not what --checksum says");
});

test("what is private to this machine and its networks is not asked, by whatever name or redirect", async () => {
  answer = (_, response) => response.writeHead(302, { location: "http://169.254.169.254/latest/meta-data" }).end();
  await expect(download("/file")).rejects.toThrow("169.254.169.254 port 80 is not allowed");
  await using remote = new Remote(folder, "public");
  for (const host of [
    "127.0.0.1",
    "localhost",
    "[::1]",
    "0.0.0.0",
    "[::ffff:7f00:1]",
    "2130706433",
    "10.0.0.1",
    HOST,
  ]) {
    await expect(remote.download(url("/file", host)), host).rejects.toThrow(/is not allowed|no host of the name/);
  }
  await using none = new Remote(folder, "none");
  await expect(none.download(url("/file", "example.org"))).rejects.toThrow("there is no network");
  expect(requests).toHaveLength(1);
});

test("redirects are followed, ten at most, and what says who asks goes to the first server alone", async () => {
  await using other = await listen(
    createServer((request, response) => {
      requests.push(request);
      response.end("there");
    }),
  );
  answer = ({ url: path = "" }, response) => {
    const location = path === "/away" ? `http://${HOST}:${other.port}/x` : "/again";
    response.writeHead(302, { location }).end();
  };
  await using remote = new Remote(folder, LOOPBACK);
  const away = url("/away");
  away.username = "me";
  away.password = "p%40ss";
  await remote.download(away);
  const basic = `Basic ${Buffer.from("me:p@ss").toString("base64")}`;
  expect(requests.map(({ headers }) => headers.authorization)).toEqual([basic, undefined]);
  await expect(remote.download(url("/again"))).rejects.toThrow("redirects more than 10 times");
});

test("a file that is too large, too slow or not there is an error", async () => {
  answer = (_, response) => response.writeHead(200).write(Buffer.alloc(2000));
  await expect(download("/file", undefined, { bytes: 1000 })).rejects.toThrow("has more than 1000 bytes");
  answer = (_, response) => response.writeHead(200, { "content-length": "2000" }).write("x");
  await expect(download("/file", undefined, { bytes: 1000 })).rejects.toThrow("has more than 1000 bytes");
  const dribble = { wholeMs: 200 };
  answer = (_, response) => {
    const timer = setInterval(() => response.write("x"), 20);
    response.once("close", () => clearInterval(timer));
  };
  await expect(download("/file", undefined, dribble)).rejects.toThrow("was not there after");
  answer = (_, response) => response.writeHead(404).end("no");
  await expect(download("/file")).rejects.toThrow("the server answered 404");
  expect(readdirSync(join(folder, "downloads"))).toEqual([]);
});

test("what breaks off is tried again", async () => {
  answer = (_, response) => {
    if (requests.length === 1) response.writeHead(200, { "content-length": "4" }).write("ab", () => response.destroy());
    else response.end("abcd");
  };
  expect(await download("/file")).toMatchObject({ size: 4 });
  answer = (_, response) => response.destroy();
  await expect(download("/other")).rejects.toThrow("the connection broke");
});
