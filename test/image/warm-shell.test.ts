import { once } from "node:events";
import { PassThrough, Readable } from "node:stream";
import { expect, test } from "vitest";
import type { Agent } from "../../src/guest/index.js";
import { warmShell } from "../../src/image/warm-shell.js";

const MiB = 2 ** 20;
const MAPS = `55e0-55e1 r-xp 00000000 00:18 12                         /bin/dash
55e1-55e2 rw-p 00002000 00:18 12                         /bin/dash
7f00-7f01 rw-p 00000000 00:00 0
7f01-7f02 r-xp 00000000 00:18 14                         /lib/a library.so
7ffc-7ffd rw-p 00000000 00:00 0                          [stack]
`;

/** An agent whose shell has `maps`, and whose files are all of `size` bytes. */
function agentOf(maps: string | Error, size: number) {
  const read: [path: string, bytes: number][] = [];
  const agent = {
    exec: async () => {
      if (maps instanceof Error) throw maps;
      const stdin = new PassThrough();
      return { pid: 7, stdin, stdout: Readable.from([Buffer.from("\n")]), wait: () => once(stdin, "finish") };
    },
    files: {
      read: async (path: string, { length = 0 }) => {
        expect(path).toBe("/proc/7/maps");
        return Buffer.from(String(maps)).subarray(0, length);
      },
      openRead: (path: string, { length = 0 }) => {
        read.push([path, Math.min(size, length)]);
        return Readable.from([Buffer.alloc(Math.min(size, length))]);
      },
    },
  };
  return { agent: agent as unknown as Agent, read };
}

test("what the shell has mapped is read once, files only", async () => {
  const { agent, read } = agentOf(MAPS, 1_000);
  await warmShell(agent, undefined);
  expect(read).toEqual([
    ["/bin/dash", 1_000],
    ["/lib/a library.so", 1_000],
  ]);
});

test("no more than 3 MiB is read, however much a shell claims to have", async () => {
  const maps = Array.from({ length: 100_000 }, (_, i) => `1-2 r-xp 0 0:0 1 /file-${i}\n`).join("");
  const { agent, read } = agentOf(maps, 2 * MiB);
  await warmShell(agent, undefined);
  expect(read).toEqual([
    ["/file-0", 2 * MiB],
    ["/file-1", MiB],
  ]);
});

test("an image without a shell is as good; a bake that is aborted is not", async () => {
  const { agent, read } = agentOf(new Error("sh: not found"), 1);
  await warmShell(agent, undefined);
  expect(read).toEqual([]);
  await expect(warmShell(agent, AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
});
