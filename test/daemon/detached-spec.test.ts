import { expect, test } from "vitest";
import { type DetachedOptions, detachedSpec } from "../../src/daemon/detached-spec.js";
import { parseSignal } from "../../src/daemon/stop-signal.js";
import type { Image } from "../../src/image/index.js";
import type { RunConfiguration } from "../../src/vm/index.js";

function specOf(options: DetachedOptions, config: Partial<RunConfiguration> = {}, workloadPid?: number) {
  const image = { name: "web-0123456789ab", snapshotPath: "/snapshots/web", workloadPid, config };
  return detachedSpec(image as Image, options);
}

test("a VM is named after its image's snapshot, without the hash", () => {
  expect(specOf({}).name).toMatch(/^web-[0-9a-f]{6}$/);
  expect(specOf({ name: "mine" }).name).toBe("mine");
});

test("the first published TCP port is waited for, unless another is named", () => {
  const publish = [{ guestPort: 53, protocol: "udp" as const }, { guestPort: 80 }, { guestPort: 443 }];
  expect(specOf({}).ready).toBeUndefined();
  expect(specOf({ publish }).ready).toEqual({ port: 80, path: undefined, timeoutMs: 60_000 });
  expect(specOf({ publish, ready: { port: 443, timeoutMs: 5 } }).ready).toMatchObject({ port: 443, timeoutMs: 5 });
});

test("a path is asked for on the lowest port that the image exposes, when none is named", () => {
  const exposedPorts = ["53/udp", "8443/tcp", "8080"];
  expect(specOf({ ready: { path: "/up" } }, { exposedPorts }).ready).toMatchObject({ port: 8080, path: "/up" });
  expect(() => specOf({ ready: { path: "/up" } })).toThrow("there is no port to ask for /up");
  expect(() => specOf({ ready: { path: "up", port: 1 } })).toThrow("is no path");
  expect(() => specOf({ ready: { path: "/a b", port: 1 } })).toThrow("is no path");
});

test("the health check is the image's, with what is said otherwise", () => {
  const healthcheck = { test: ["CMD-SHELL", "curl -f localhost"], intervalMs: 5_000 };
  const argv = ["/bin/sh", "-c", "curl -f localhost"];
  expect(specOf({}).health).toBeUndefined();
  expect(specOf({}, { healthcheck }).health).toEqual({
    argv,
    intervalMs: 5_000,
    timeoutMs: 30_000,
    startPeriodMs: 0,
    retries: 3,
  });
  expect(specOf({ health: { retries: 1 } }, { healthcheck }).health).toMatchObject({ argv, retries: 1 });
  expect(specOf({ health: { command: ["true"] } }, { healthcheck }).health).toMatchObject({ argv: ["true"] });
  expect(specOf({ health: false }, { healthcheck }).health).toBeUndefined();
  expect(specOf({}, { healthcheck: { test: ["NONE"] } }).health).toBeUndefined();
  expect(specOf({}, { healthcheck: { test: ["CMD", "check", "me"] } }).health?.argv).toEqual(["check", "me"]);
  expect(() => specOf({ health: { intervalMs: 1 } })).toThrow("no health check");
});

test("the stop signal is the image's, unless another is named", () => {
  expect(specOf({}).stopSignal).toBe("SIGTERM");
  expect(specOf({}, { stopSignal: "SIGQUIT" }).stopSignal).toBe("SIGQUIT");
  expect(specOf({}, { stopSignal: "nonsense" }).stopSignal).toBe("SIGTERM");
  expect(specOf({ stopSignal: "int" }, { stopSignal: "SIGQUIT" }).stopSignal).toBe("SIGINT");
  expect(() => specOf({ stopSignal: "nonsense" })).toThrow("there is no signal");
});

test.each([
  ["SIGHUP", "SIGHUP"],
  ["usr1", "SIGUSR1"],
  ["9", 9],
  ["SIGRTMIN+3", 37],
  ["RTMIN", 34],
  ["0", undefined],
  ["65", undefined],
  ["SIG", undefined],
  ["RTMIN+99", undefined],
  ["", undefined],
])("the signal %j is %j", (text, signal) => {
  expect(parseSignal(text)).toBe(signal);
});

test("a snapshot whose command runs already takes no other environment, folder or user for it", () => {
  expect(() => specOf({ env: { A: "1" } }, {}, 7)).toThrow("runs already");
  expect(() => specOf({ user: "app" }, {}, 7)).toThrow("runs already");
  expect(specOf({ env: { A: "1" }, cmd: ["true"] }, {}, 7).cmd).toEqual(["true"]);
});
