import { expect, test } from "vitest";
import { parseRestartPolicy, Restarts } from "../../src/daemon/restart-policy.js";

test.each([
  ["no", { when: "no" }],
  ["always", { when: "always" }],
  ["unless-stopped", { when: "unless-stopped" }],
  ["on-failure", { when: "on-failure" }],
  ["on-failure:3", { when: "on-failure", most: 3 }],
])("%s is a policy", (text, policy) => {
  expect(parseRestartPolicy(text)).toEqual(policy);
});

test.each(["", "never", "always:3", "on-failure:", "on-failure:-1", "on-failure:x", "No"])("%j is none", (text) => {
  expect(() => parseRestartPolicy(text)).toThrow("is no restart policy");
});

test("a workload is let be by default, and on success where only failures count", () => {
  expect(new Restarts({ when: "no" }).next(1, 0)).toBeUndefined();
  expect(new Restarts({ when: "on-failure" }).next(0, 0)).toBeUndefined();
  expect(new Restarts({ when: "always" }).next(0, 0)).toBe(100);
});

test("the delay doubles up to a minute, and starts anew once the workload was well", () => {
  const restarts = new Restarts({ when: "always" });
  const delays = Array.from({ length: 12 }, () => restarts.next(1, 0));
  expect(delays.slice(0, 4)).toEqual([100, 200, 400, 800]);
  expect(delays.at(-1)).toBe(60_000);
  expect(restarts.next(1, 10_000)).toBe(100);
  expect(restarts.count).toBe(13);
});

test("failures in a row are counted against the limit", () => {
  const restarts = new Restarts({ when: "on-failure", most: 2 });
  expect([restarts.next(1, 0), restarts.next(1, 0), restarts.next(1, 0)]).toEqual([100, 200, undefined]);
});
