import { readFile, rm, writeFile } from "node:fs/promises";
import { UsageError } from "../errors.js";
import { replace } from "../store/index.js";
import { isOver, listRecords } from "./record.js";

/**
 * Writes our process id into a file that goes away with us. One that is there is replaced, whatever process has its number by now,
 * unless it is the file of a VM that runs: who holds a VM is found by its socket, never by a number.
 * @throws UsageError when another VM's supervisor has it
 */
export async function holdPidFile(path: string, vm: string): Promise<AsyncDisposable> {
  const pid = Number(await readFile(path, "utf8").catch(() => ""));
  const holder = (await listRecords()).find((each) => each.pid === pid && each.name !== vm && !isOver(each.status));
  if (holder) {
    throw new UsageError(`the pid file ${path} is that of the VM ${holder.name}, which runs`, {
      hint: "Name another file for this one.",
    });
  }
  const own = `${process.pid}\n`;
  await replace(path, (partial) => writeFile(partial, own, { mode: 0o644 }));
  return {
    async [Symbol.asyncDispose]() {
      if ((await readFile(path, "utf8").catch(() => "")) === own) await rm(path, { force: true });
    },
  };
}
