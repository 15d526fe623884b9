import { describe, expect, it } from "vitest";
import { SupermachineError } from "../../src/errors.js";
import { randomFrom } from "../support/random.js";
import { pull } from "../support/registry/client.js";
import { breakAfter, change, type Fault, type Passed, stallAfter, status } from "../support/registry/fault-proxy.js";
import { proxiedRegistry, USER } from "../support/registry/proxied.js";

const SEEDS = Array.from({ length: 25 }, (_, i) => i + 1);
const NETWORK = { backoffMs: 1, longestWaitMs: 5, stallMs: 250, connectMs: 5_000, attempts: 4 };

const there = proxiedRegistry();

function randomFault(random: ReturnType<typeof randomFrom>): Fault {
  const at = random.below(random.pick([10, 2_000, 2_000_000]));
  const changes: ((passed: Passed) => Partial<Passed>)[] = [
    ({ body }) => ({ body: Buffer.concat([body.subarray(0, at), Buffer.from("?"), body.subarray(at + 1)]) }),
    ({ body, headers }) => ({ body: body.subarray(0, at), headers: withoutLength(headers) }),
    ({ body, headers }) => ({ body: Buffer.concat([body, Buffer.alloc(at)]), headers: withoutLength(headers) }),
    ({ headers }) => ({ headers: { ...headers, "content-range": `bytes ${at}-${at + 5}/${at + 6}` } }),
    ({ headers }) => ({
      headers: { ...headers, etag: `"${at}"`, "docker-content-digest": `sha256:${"0".repeat(64)}` },
    }),
    ({ headers }) => ({ status: 206, headers }),
    ({ headers }) => ({ status: 200, headers }),
  ];
  return random.pick<Fault>([
    breakAfter(at),
    breakAfter(at),
    stallAfter(at),
    status(random.pick([200, 206, 304, 400, 401, 403, 404, 416, 429, 500, 503])),
    status(307, { location: random.pick(["/", "//", "http://127.0.0.1:1/", "x".repeat(5_000)]) }),
    change(random.pick(changes)),
    change(random.pick(changes)),
  ]);
}

function withoutLength({ "content-length": _length, ...headers }: Passed["headers"]): Passed["headers"] {
  return headers;
}

/** The reader of `pull` compares digests, as whoever converts a layer does. */
function isHonest(error: unknown): boolean {
  return SupermachineError.is(error) || /^layer sha256:\w+ came as/.test((error as Error).message);
}

describe("a registry that does anything", () => {
  it.each(SEEDS)("gives the image, or a typed error, and spoils nothing (seed %i)", async (seed) => {
    const random = randomFrom(seed);
    const chance = random.pick([2, 3, 6]);
    there.proxy.faults = [
      (seen, response, pass) => random.below(chance) === 0 && randomFault(random)(seen, response, pass),
    ];
    const outcome: unknown = await there.get(NETWORK).catch((error: unknown) => error);
    if (outcome instanceof Error) expect(outcome).toSatisfy(isHonest);
    else expect(outcome).toEqual(there.expected);
    expect(there.proxy.seen.length).toBeLessThan(200);

    there.proxy.faults = [];
    expect(await pull(there.image, { registryAuth: USER })).toEqual(there.expected);
  });
});
