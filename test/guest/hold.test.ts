import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RunningAgent, run, sanitizedTest, startAgent } from "./agent-under-test.js";

const FILE_BYTES = 20_000_000;
const WHOLE = [FILE_BYTES, FILE_BYTES];

test("a command that starts holds up the bulk link for a while, and not again for as long", () => {
  expect(execFileSync(sanitizedTest("hold-test", /\/hold\.c$/), { encoding: "utf8" })).toBe("ok\n");
}, 120_000);

describe("files that are read and written while commands start", () => {
  let running: RunningAgent;
  const folder = mkdtempSync(join(tmpdir(), "supermachine-hold-"));
  const path = join(folder, "file");
  beforeAll(async () => {
    writeFileSync(path, Buffer.alloc(FILE_BYTES, "hold"));
    running = await startAgent("sanitized");
  }, 120_000);
  afterAll(async () => {
    await running[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  /** Both ways at once; gives how much has arrived. */
  async function move(): Promise<number[]> {
    const content = Buffer.alloc(FILE_BYTES, "written");
    const [read] = await Promise.all([running.agent.files.read(path), running.agent.files.write(`${path}2`, content)]);
    return [read.length, statSync(`${path}2`).size];
  }

  test("come whole when the commands go on, and nothing else happens in the guest", async () => {
    for (let i = 0; i < 5; i++) {
      const moving = move();
      const process = await running.agent.exec({ argv: ["sleep", "600"] });
      expect(await moving).toEqual(WHOLE);
      process.kill("SIGKILL");
      await process.wait();
    }
  });

  test("come whole though one command follows the other", async () => {
    let over = false;
    const moving = move().finally(() => {
      over = true;
    });
    while (!over) await run(running.agent, ["true"]);
    expect(await moving).toEqual(WHOLE);
  });

  test("come whole while many commands run at once", async () => {
    const commands = Array.from({ length: 50 }, () => run(running.agent, ["echo", "x"]));
    expect(await move()).toEqual(WHOLE);
    for (const command of commands) expect((await command).stdout.toString()).toBe("x\n");
  });
});
