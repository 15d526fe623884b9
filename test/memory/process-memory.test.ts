import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { expect, test } from "vitest";
import { readFully, writeFully } from "../../src/memory/process-memory.js";

test.skipIf(process.platform !== "linux")(
  "the memory of a process that has ended is an error, not a wait for ever",
  async () => {
    const child = spawn("sleep", ["60"]);
    await once(child, "spawn");
    const memory = openSync(`/proc/${child.pid}/mem`, "r+");
    try {
      child.kill("SIGKILL");
      await once(child, "exit");
      const bytes = Buffer.alloc(4_096);
      expect(() => writeFully(memory, bytes, 0, bytes.length, 4_096)).toThrow(
        "the guest ended while its memory was written",
      );
      expect(() => readFully(memory, bytes, 0, bytes.length, 4_096)).toThrow(
        "the guest ended while its memory was read",
      );
    } finally {
      closeSync(memory);
    }
  },
);
