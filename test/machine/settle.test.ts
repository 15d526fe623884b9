import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "vitest";
import { processorTime } from "../../src/machine/processor-time.js";
import { settle } from "../../src/machine/settle.js";

/** A process that works for a while, says so, and rests. */
function worker(workMs: number) {
  const program = `const end = Date.now() + ${workMs}; while (Date.now() < end); console.log("done"); setTimeout(() => {}, 60_000);`;
  const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  return {
    pid: child.pid ?? 0,
    said: () => said,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await once(child, "close");
    },
  };
}

test.runIf(process.platform === "linux")("is over when the process has done its work, which is counted", async () => {
  await using child = worker(1_000);
  const before = (await processorTime(child.pid)) ?? Number.NaN;
  await settle(child.pid);
  await expect.poll(child.said).toBe("done\n");
  expect((await processorTime(child.pid)) ?? 0).toBeGreaterThan(before);
});

test("is not waited for when the signal aborts", async () => {
  await using child = worker(60_000);
  await expect(settle(child.pid, AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
});

test("one that never rests, and one that is gone, are not waited for without end", async () => {
  await using child = worker(60_000);
  await settle(child.pid);
  expect(child.said()).toBe("");
  await settle(2 ** 30);
  expect(await processorTime(2 ** 30)).toBeUndefined();
});
