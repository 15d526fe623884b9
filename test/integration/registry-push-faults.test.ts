import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ImageError, ImageNotFoundError, RegistryAuthError, RegistryUnreachableError } from "../../src/errors.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { blobPath, LayoutBuilder, sha256Of } from "../support/layout-builder.js";
import { openDescriptors } from "../support/leftovers.js";
import { Cleanup } from "../support/registry/cleanup.js";
import { copy, freshClient, pull } from "../support/registry/client.js";
import { startRegistry, type TestRegistry } from "../support/registry/docker-registry.js";
import {
  breakRequestAfter,
  type Fault,
  type FaultProxy,
  firstTimes,
  isManifest,
  isUpload,
  type Seen,
  stallRequestAfter,
  startFaultProxy,
  status,
} from "../support/registry/fault-proxy.js";

const cleanup = new Cleanup();
const layer = randomBytes(2_000_000);
const LAYER = sha256Of(layer);
let folder: ReturnType<typeof temporaryFolder>;
let source: string;
let registry: TestRegistry;
let proxy: FaultProxy;
let client: ReturnType<typeof freshClient>;
let counter = 0;
let target: string;

beforeAll(async () => {
  registry = cleanup.use(await startRegistry());
  proxy = cleanup.use(await startFaultProxy(registry.port));
});
afterAll(() => cleanup.end());
beforeEach(() => {
  client = freshClient();
  folder = temporaryFolder();
  const builder = new LayoutBuilder();
  builder.root([builder.image({ layers: [layer] })]).writeTo(folder.path);
  source = `oci-layout:${folder.path}`;
  proxy.faults = [];
  proxy.seen.length = 0;
  target = `${proxy.host}/faults/r${counter++}:1`;
});
afterEach(() => {
  folder[Symbol.dispose]();
  client[Symbol.dispose]();
});

const isLayer = (seen: Seen) => isUpload(seen) && seen.path.includes(encodeURIComponent(LAYER));
const tries = () => proxy.seen.filter(isLayer).length;

describe("an upload goes on in spite of", () => {
  const cases: [string, () => Fault, number][] = [
    ["a connection that breaks in the middle", () => firstTimes(2, isLayer, breakRequestAfter(500_000)), 3],
    ["a server that has no time", () => firstTimes(2, isLayer, status(503)), 3],
    ["a limit on requests", () => firstTimes(1, isLayer, status(429, { "retry-after": "1" })), 2],
    ["an upload that was forgotten", () => firstTimes(1, isLayer, status(500)), 2],
    ["a redirect", () => firstTimes(1, isLayer, redirectHere), 1],
    ["a manifest that is not taken at once", () => firstTimes(2, isManifest, status(502)), 1],
  ];

  it.each(cases)("%s", async (_what, fault, expected) => {
    proxy.faults = [fault()];
    const pushed = await copy(source, target);
    expect((await pull(target)).manifestDigest).toBe(pushed.digest);
    expect(tries()).toBe(expected);
  });

  it("a server that stops reading", async () => {
    proxy.faults = [firstTimes(1, isLayer, stallRequestAfter(100_000))];
    const pushed = await copy(source, target, { network: { stallMs: 300 } });
    expect((await pull(target)).manifestDigest).toBe(pushed.digest);
  });

  it("an answer that was lost: what has arrived is not sent again", async () => {
    const lost: Fault = async (_seen, response, pass) => {
      await pass();
      response.destroy();
      return true;
    };
    proxy.faults = [firstTimes(1, isLayer, lost)];
    await copy(source, target);
    expect(tries()).toBe(1);
  });
});

function redirectHere(seen: Seen, response: Parameters<Fault>[1]): boolean {
  response.req.resume();
  response.writeHead(307, { location: `http://127.0.0.1:${registry.port}${seen.path}` }).end();
  return true;
}

it("a registry that kept the beginning is sent the rest alone", async () => {
  const kept = 700_001;
  const rest: { range: string | undefined; digest: string }[] = [];
  proxy.faults = [
    firstTimes(1, isLayer, breakRequestAfter(kept)),
    firstTimes(
      1,
      ({ method, path }) => method === "GET" && path.includes("/uploads/"),
      status(204, {
        location: "/v2/elsewhere/upload?signed=%2Fa%20b",
        range: `0-${kept - 1}`,
      }),
    ),
    async ({ method, headers, path }, response) => {
      if (!path.startsWith("/v2/elsewhere/upload")) return false;
      const bytes = await buffer(response.req);
      if (method === "PATCH") rest.push({ range: headers["content-range"], digest: sha256Of(bytes) });
      response.writeHead(method === "PATCH" ? 202 : 201, { location: "/v2/elsewhere/upload?more=1" }).end();
      return true;
    },
    (seen, response) =>
      isManifest(seen) && status(201)(seen, response, async () => ({ status: 0, headers: {}, body: layer })),
  ];
  await copy(source, target);
  expect(rest).toEqual([{ range: `${kept}-${layer.length - 1}`, digest: sha256Of(layer.subarray(kept)) }]);
  const paths = proxy.seen.map(({ method, path }) => `${method} ${path}`);
  expect(paths).toContain("PATCH /v2/elsewhere/upload?signed=%2Fa%20b");
  expect(paths).toContain(`PUT /v2/elsewhere/upload?more=1&digest=${encodeURIComponent(LAYER)}`);
});

describe("a push fails", () => {
  const cases: [string, Fault, new (...args: never[]) => Error, RegExp][] = [
    ["where it may not", firstTimes(99, isUpload, status(403)), RegistryAuthError, /may not push/],
    ["where there is no repository", firstTimes(99, isManifest, status(404)), ImageNotFoundError, /repository/],
    ["where everything is read-only", firstTimes(99, isUpload, status(405)), ImageError, /read-only/],
    ["where blobs are limited", firstTimes(99, isUpload, status(413)), ImageError, /larger/],
    ["where the server goes on failing", firstTimes(99, isUpload, status(500)), RegistryUnreachableError, /again/],
    ["where the limit is not lifted", firstTimes(99, isUpload, status(429)), RegistryUnreachableError, /limits/],
  ];

  it.each(cases)("%s", async (_what, fault, type, message) => {
    proxy.faults = [fault];
    const failure = await copy(source, target, { network: { attempts: 3 } }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(type);
    expect((failure as Error).message).toMatch(message);
    proxy.faults = [];
    await expect(pull(target)).rejects.toThrow(ImageNotFoundError);
  });

  it.each([
    ["is damaged", (bytes: Buffer) => Buffer.concat([bytes.subarray(0, -1), Buffer.from([bytes.at(-1)! ^ 1])])],
    ["is too short", (bytes: Buffer) => bytes.subarray(0, -1)],
    ["is too long", (bytes: Buffer) => Buffer.concat([bytes, bytes])],
  ])("when a layer %s, and the image is not there", async (_what, damage) => {
    const path = join(folder.path, blobPath(LAYER));
    writeFileSync(path, damage(readFileSync(path)));
    await expect(copy(source, target)).rejects.toThrow(ImageError);
    await expect(pull(target)).rejects.toThrow(ImageNotFoundError);
    expect(tries()).toBeLessThan(2);
  });

  it("when the registry is not there", async () => {
    await expect(copy(source, "localhost:1/a/b:1")).rejects.toThrow(
      /pushed to localhost:1: the connection was refused/,
    );
  });

  it("when it is given up, at once and with nothing left open", async () => {
    await copy(source, target);
    const before = openDescriptors();
    proxy.faults = [firstTimes(1, isLayer, stallRequestAfter(100_000))];
    const reason = new Error("no longer wanted");
    const giveUp = new AbortController();
    const pushing = copy(source, `${proxy.host}/faults/given-up:1`, { signal: giveUp.signal });
    setTimeout(() => giveUp.abort(reason), 300);
    await expect(pushing).rejects.toBe(reason);
    await expect.poll(openDescriptors).toBeLessThanOrEqual(before);
  });
});
