import { once } from "node:events";
import { Duplex, PassThrough } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { type StartingService, untilReady } from "../../src/daemon/readiness.js";
import { VmError } from "../../src/errors.js";
import { GuestConnectionError } from "../../src/guest/index.js";
import type { Vm } from "../../src/vm/index.js";

const refused = () => new GuestConnectionError("ECONNREFUSED");

/** A connection to a server that answers every request with the status; without one, never. */
function server(status?: number): Duplex {
  return new Duplex({
    read() {},
    write(_chunk, _encoding, done) {
      if (status !== undefined) this.push(`HTTP/1.1 ${status} So\r\ncontent-length: 0\r\n\r\n`);
      done();
    },
  });
}

/** A VM whose port answers what it is told, one after the other, and the last again and again; and what was done with it. */
function vmWith(...answers: (Error | Duplex)[]) {
  const calls: string[] = [];
  const vm = {
    connect: async () => {
      calls.push("connect");
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      if (answer instanceof Duplex) return answer;
      throw answer;
    },
    waitForPort: async (_port: number, { timeoutMs }: { timeoutMs: number }) => {
      calls.push("look");
      if (timeoutMs < 5) throw new VmError("nobody listens on port 80, but on 81");
    },
  };
  return { vm: vm as unknown as Vm, calls };
}

function service(vm: () => Vm, about: Partial<StartingService> = {}): StartingService {
  const ready = { port: 80, timeoutMs: 10_000 };
  const ended = new Promise<never>(() => undefined);
  const how = { isConnected: true, isRestarted: false, exited: () => ended, ended, lastWords: () => "" };
  return { name: "web", ready, vm, ...how, ...about };
}

test("a server is connected to until that works, and the connection is given", async () => {
  const connection = new PassThrough();
  const { vm, calls } = vmWith(refused(), refused(), connection);
  expect(await untilReady(service(() => vm))).toBe(connection);
  expect(calls).toEqual(["connect", "connect", "connect"]);
  // Nobody listens to it yet, and it may break.
  connection.destroy(new Error("reset"));
});

test("one that shall not notice is looked for", async () => {
  const { vm, calls } = vmWith(new PassThrough());
  expect(await untilReady(service(() => vm, { isConnected: false }))).toBeUndefined();
  expect(calls).toEqual(["look"]);
});

test("where nobody listens in time, what is listened on instead is told", async () => {
  const { vm } = vmWith(refused());
  const late = untilReady(service(() => vm, { ready: { port: 80, timeoutMs: 30 } }));
  await expect(late).rejects.toThrow(/^web was not ready after 30 ms: .* but on 81; it wrote nothing\n/);
});

test("when a VM is gone, the next one is waited for", async () => {
  const connection = new PassThrough();
  const vms = [vmWith(new VmError("gone")).vm, vmWith(connection).vm];
  expect(await untilReady(service(() => (vms.length > 1 ? vms.shift() : vms[0]) as Vm))).toBe(connection);
});

test("what the probe was answered with is told, though the time ended in the middle of another one", async () => {
  const ready = { port: 80, path: "/up", timeoutMs: 400 };
  const late = untilReady(service(() => vmWith(server(404), server()).vm, { ready }));
  await expect(late).rejects.toThrow("port 80 answered GET /up with 404, not 200");
  const silent = untilReady(service(() => vmWith(server()).vm, { ready }));
  await expect(silent).rejects.toThrow("port 80 answered GET /up with nothing, not 200");
});

test("when a VM is gone while it is probed, the next one is", async () => {
  const vms = [vmWith(server(503), new VmError("gone")).vm, vmWith(server(200)).vm];
  const ready = { port: 80, path: "/up", timeoutMs: 30_000 };
  await untilReady(service(() => (vms.length > 1 ? vms.shift() : vms[0]) as Vm, { ready }));
});

test("a connection that does not come about takes no longer than the time that is given", async () => {
  const connect = async (_port: number, { signal }: { signal: AbortSignal }) => {
    await once(signal, "abort");
    throw signal.reason;
  };
  const vm = { ...vmWith(refused()).vm, connect } as unknown as Vm;
  const late = untilReady(service(() => vm, { ready: { port: 80, timeoutMs: 30 } }));
  await expect(late).rejects.toThrow("but on 81");
});

test("a workload that ends before has failed, with its last words", async () => {
  const { vm } = vmWith(refused());
  const over = service(() => vm, { ended: Promise.resolve({ exitCode: 3 }), lastWords: () => "oops" });
  await expect(untilReady(over)).rejects.toThrow(/ended with exit code 3 before it answered on port 80; .*\noops$/s);
});

test("without a port, one that exits at once has failed, though its VM takes longer to end", async () => {
  const { vm } = vmWith(refused());
  const ended = sleep(600, { exitCode: 4 });
  const soon = { ready: undefined, exited: () => Promise.resolve(), ended, lastWords: () => "typo" };
  await expect(untilReady(service(() => vm, soon))).rejects.toThrow(/ended with exit code 4 at once; .*\ntypo$/s);
  const done = { ...soon, exited: () => Promise.reject(new Error("gone")), ended: sleep(10, { exitCode: 0 }) };
  expect(await untilReady(service(() => vm, done))).toBeUndefined();
  expect(await untilReady(service(() => vm, { ready: undefined }))).toBeUndefined();
});
