import { expect, test } from "vitest";
import { GuestFileError } from "../../src/errors.js";
import { ExecFailure } from "../../src/guest/index.js";
import { MachineSource, type PooledImage, type PooledMachine } from "../../src/image/machine-source.js";
import type { Machine, Runtime } from "../../src/machine/index.js";

/** A guest that takes in all that is written before it says how that went; and the names of its files. */
function guest(outcome: (path: string) => void) {
  const files: string[] = [];
  const agent = {
    exec: async () => {
      throw new ExecFailure({ errno: "EACCES", stage: "command", text: "a folder", step: 0 }, ["/"]);
    },
    files: {
      write: async (path: string, content: Iterable<unknown> | AsyncIterable<unknown>) => {
        for await (const _ of content);
        outcome(path);
        files.push(path);
      },
      remove: async ({ path }: { path: string }) => void files.splice(files.indexOf(path), 1),
    },
  };
  const machine = { resume: async () => undefined, agent } as unknown as Machine;
  return { files, pooled: { machine, workload: undefined } as PooledMachine };
}

const source = (isReused: boolean) => {
  const user = { yields: false, reclaim: () => 0, freed: () => undefined };
  return new MachineSource({} as Runtime, { memoryMiB: 256 } as PooledImage, user, isReused);
};

test("a guest that is lent again has room on its disk, and keeps nothing of the look at it", async () => {
  const paths: string[] = [];
  const { pooled, files } = guest((path) => void paths.push(path));
  await source(true).check(pooled);
  expect(paths).toHaveLength(1);
  expect(files).toEqual([]);
});

test("one whose disk is full is of no use, though it takes all in before it says so", async () => {
  const { pooled } = guest((path) => {
    throw new GuestFileError("No space left on device", { errno: "ENOSPC", path });
  });
  await expect(source(true).check(pooled)).rejects.toThrow("No space left");
  // Nobody uses the disk of this one again.
  await source(false).check(pooled);
});
