import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { RegistryUnreachableError } from "../../src/errors.js";
import { openImage } from "../../src/oci/index.js";
import { IMPATIENT } from "../support/registry/client.js";
import {
  breakAfter,
  change,
  type Fault,
  firstTimes,
  isManifest,
  type Passed,
  stallAfter,
  status,
} from "../support/registry/fault-proxy.js";
import { proxiedRegistry, USER } from "../support/registry/proxied.js";

const there = proxiedRegistry();

/** A registry that has no time for manifests from the first request on until so many milliseconds later. */
function busyFor(milliseconds: number, retryAfter: string): Fault {
  let since: number | undefined;
  const busy = status(503, { "retry-after": retryAfter });
  return (seen, response, pass) => {
    if (!isManifest(seen) || seen.headers.authorization === undefined) return false;
    since ??= performance.now();
    return performance.now() - since < milliseconds && busy(seen, response, pass);
  };
}

describe("what passes by itself", () => {
  it.each([429, 500, 502, 503, 504])("is tried again after a %i, for manifests and layers", async (code) => {
    there.proxy.faults = [firstTimes(2, isManifest, status(code)), firstTimes(2, there.isLayer, status(code))];
    expect(await there.get()).toEqual(there.expected);
  });

  it("is waited for as long as Retry-After says, in seconds", async () => {
    there.proxy.faults = [busyFor(700, "1")];
    expect(await there.get({ attempts: 2 })).toEqual(there.expected);
  });

  it("is waited for until Retry-After's date", async () => {
    there.proxy.faults = [busyFor(700, new Date(Date.now() + 2_000).toUTCString())];
    expect(await there.get({ attempts: 2 })).toEqual(there.expected);
  });

  it("is not waited for for ever", async () => {
    const tomorrow = new Date(Date.now() + 86_400_000).toUTCString();
    there.proxy.faults = [firstTimes(1, isManifest, status(429, { "retry-after": tomorrow }))];
    expect(await there.get({ longestWaitMs: 50 })).toEqual(there.expected);
  });

  it("is tried again when a manifest breaks off", async () => {
    there.proxy.faults = [firstTimes(2, isManifest, breakAfter(100))];
    expect(await there.get()).toEqual(there.expected);
  });

  it("is not tried for ever", async () => {
    there.proxy.faults = [firstTimes(1_000, isManifest, status(503))];
    const pulling = there.get({ attempts: 4 });
    await expect(pulling).rejects.toThrow(RegistryUnreachableError);
    await expect(pulling).rejects.toThrow(/answered 503/);
    // One more request was refused for want of a password.
    expect(there.tries(isManifest)).toBe(4);
  });
});

describe("a layer that breaks off", () => {
  it("goes on where it broke", async () => {
    there.proxy.faults = [firstTimes(3, there.isLayer, breakAfter(100_000))];
    expect(await there.get()).toEqual(there.expected);
    const ranges = there.proxy.seen.filter(there.isLayer).flatMap(({ headers }) => headers.range ?? []);
    expect(ranges).toHaveLength(3);
    const starts = ranges.map((range) => Number(/^bytes=(\d+)-$/.exec(range)?.[1]));
    expect(starts.every((start, i) => start > (starts[i - 1] ?? 0))).toBe(true);
    expect(there.proxy.seen.filter(there.isLayer).at(-1)?.headers["if-range"]).toMatch(/^"/);
  });

  it("goes on after it came to a standstill", async () => {
    there.proxy.faults = [firstTimes(1, there.isLayer, stallAfter(100_000))];
    expect(await there.get({ stallMs: 300 })).toEqual(there.expected);
  });

  it("is read again from its start where the server knows no ranges", async () => {
    const forget = (passed: Passed) => ({ ...passed, headers: { ...passed.headers, "accept-ranges": "none" } });
    there.proxy.faults = [
      firstTimes(1, there.isLayer, breakAfter(100_000)),
      async (seen, response, pass) => {
        if (!there.isLayer(seen)) return false;
        delete seen.headers.range;
        return change(forget)(seen, response, pass);
      },
    ];
    expect(await there.get()).toEqual(there.expected);
    expect(there.proxy.seen.filter(there.isLayer)).toHaveLength(2);
  });

  it("is read again from its start where the server gives another range than was asked for", async () => {
    const shift = ({ headers }: Passed) => ({
      headers: {
        ...headers,
        "content-range": `bytes ${there.layer.size - 1}-${there.layer.size - 1}/${there.layer.size}`,
      },
    });
    there.proxy.faults = [
      firstTimes(1, there.isLayer, breakAfter(100_000)),
      firstTimes(1, (seen) => there.isLayer(seen) && seen.headers.range !== undefined, change(shift)),
    ];
    expect(await there.get()).toEqual(there.expected);
  });

  it("fails when it breaks at the same place again and again", async () => {
    there.proxy.faults = [firstTimes(1_000, there.isLayer, breakAfter(0))];
    await expect(there.get({ attempts: 3 })).rejects.toThrow(RegistryUnreachableError);
    expect(there.tries(there.isLayer)).toBe(3);
  });

  it("ends at once when it is no longer wanted", async () => {
    there.proxy.faults = [firstTimes(1_000, there.isLayer, stallAfter(10))];
    await using opened = await openImage(there.image, { registryAuth: USER });
    const stop = new AbortController();
    const stream = await opened.layers[0]!.open(stop.signal);
    const reading = stream.toArray();
    setTimeout(() => stop.abort(new Error("enough")), 50);
    await expect(reading).rejects.toThrow("enough");
    expect(stream.destroyed).toBe(true);
  });
});

describe("a layer that is given up", () => {
  it("lets go of its connection, also when nobody waits for its next bytes", async () => {
    let ended = 0;
    there.proxy.faults = [
      firstTimes(1_000, there.isLayer, (_seen, response) => {
        response
          .writeHead(200, { "content-length": String(there.layer.size) })
          .write(Buffer.alloc(there.layer.size - 1));
        response.once("close", () => ended++);
        return true;
      }),
    ];
    await using opened = await openImage(there.image, { registryAuth: USER });
    const streams = await Promise.all([1, 2, 3].map(() => opened.layers[0]!.open()));
    for (const stream of streams) stream.destroy();
    await expect.poll(() => ended).toBe(3);
  });

  it("breaks off when its image is disposed of", async () => {
    there.proxy.faults = [firstTimes(1_000, there.isLayer, stallAfter(10))];
    const opened = await openImage(there.image, { registryAuth: USER, network: IMPATIENT });
    const reading = (await opened.layers[0]!.open()).toArray();
    const failing = expect(reading).rejects.toThrow();
    await opened[Symbol.asyncDispose]();
    await failing;
  });

  it("has no secret in its error, nor in what caused that", async () => {
    there.proxy.faults = [firstTimes(1_000, there.isLayer, breakAfter(0))];
    const error: unknown = await there.get({ attempts: 2 }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RegistryUnreachableError);
    const shown = inspect(error, { depth: 12, showHidden: true });
    const basic = Buffer.from(`${USER.username}:${USER.password}`).toString("base64");
    for (const secret of [USER.password, basic]) expect(shown).not.toContain(secret);
  });
});
