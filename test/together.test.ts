import { expect, test } from "vitest";
import { together } from "../src/together.js";

/** A task that ends only when it is aborted, and lets go of what it holds a little later. */
function holding(log: string[], name: string) {
  return (signal: AbortSignal) =>
    new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => {
        log.push(`${name} aborted`);
        setTimeout(() => {
          log.push(`${name} let go`);
          reject(signal.reason);
        }, 10);
      });
    });
}

test("gives the results in the order of the tasks", async () => {
  const slow = () => new Promise<string>((resolve) => setTimeout(resolve, 10, "slow"));
  expect(await together<[string, number]>(undefined, [slow, async () => 2])).toEqual(["slow", 2]);
  expect(await together<[]>(undefined, [])).toEqual([]);
});

test("runs the tasks at the same time", async () => {
  let release = (_: string) => {};
  const first = () =>
    new Promise<string>((resolve) => {
      release = resolve;
    });
  const second = async () => void release("released by the second");
  expect(await together<[string, undefined]>(undefined, [first, second])).toEqual([
    "released by the second",
    undefined,
  ]);
});

test("aborts the others when one fails, and reports that failure once all have let go", async () => {
  const log: string[] = [];
  const failure = new Error("broken");
  const running = together<[never, never, string]>(undefined, [
    holding(log, "one"),
    () => Promise.reject(failure),
    async () => "done",
  ]);
  await expect(running).rejects.toBe(failure);
  expect(log).toEqual(["one aborted", "one let go"]);
});

test("aborts all when the caller aborts, with the caller's reason", async () => {
  const log: string[] = [];
  const caller = new AbortController();
  const running = together<[never, never]>(caller.signal, [holding(log, "one"), holding(log, "two")]);
  const reason = new Error("enough");
  caller.abort(reason);
  await expect(running).rejects.toBe(reason);
  expect(log.toSorted()).toEqual(["one aborted", "one let go", "two aborted", "two let go"]);
});

test("tells a task that starts under an aborted signal so", async () => {
  const seen: boolean[] = [];
  await together<[undefined]>(AbortSignal.abort(), [async (signal) => void seen.push(signal.aborted)]);
  expect(seen).toEqual([true]);
});
