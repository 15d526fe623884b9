import { setTimeout as sleep } from "node:timers/promises";
import { execa } from "execa";
import { expect } from "vitest";
import type { VmRecord } from "../../src/index.js";
import { remainingWorkers } from "./leftovers.js";

export const CLI = "dist/cli/main.js";

/** The built command line. */
export const cli = (...args: string[]) => execa("node", [CLI, ...args], { reject: false, stdin: "ignore" });

/** What it prints as JSON. */
export async function json<T>(...args: string[]): Promise<T> {
  const { stdout, stderr } = await cli(...args);
  if (stdout === "") throw new Error(stderr);
  return JSON.parse(stdout) as T;
}

export const inspect = async (name: string) => (await json<VmRecord[]>("inspect", name))[0] as VmRecord;

/** Waits for what comes about sooner or later. */
export async function until(what: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 60_000; !(await what()); await sleep(50)) {
    if (Date.now() > end) throw new Error("it did not come about");
  }
}

/** Ends and removes all VMs in the background, and makes sure that nothing of them is left. */
export async function removeAll(): Promise<void> {
  const vms = await json<VmRecord[]>("ps", "--all", "--json");
  if (vms.length > 0) await cli("rm", "--force", ...vms.map(({ name }) => name));
  expect(await remainingWorkers()).toEqual([]);
  expect(await json("ps", "--all", "--json")).toEqual([]);
}
