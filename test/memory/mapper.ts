import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { compile } from "../guest/agent-under-test.js";

/** A process that maps a file as a hypervisor maps a guest's RAM. */
export interface Mapper extends AsyncDisposable {
  pid: number;
  /** Fills a page with a byte. */
  fill(page: number, value: number): Promise<void>;
  /** Writes to a page without changing it. */
  touch(page: number): Promise<void>;
  /** Splits the mapping: the kernel lists pages with other rights apart. */
  protect(page: number, count: number): Promise<void>;
  /** First and last byte of a page. */
  read(page: number): Promise<[number, number]>;
}

export async function startMapper(file: string, shared: boolean): Promise<Mapper> {
  const program = compile("mapper", [join(import.meta.dirname, "mapper.c")], ["-O1"]);
  const child = spawn(program, [file, shared ? "shared" : "private"], { stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const command = async (name: string, page: number, value = 0): Promise<[number, number]> => {
    child.stdin.write(`${name} ${page} ${value}\n`);
    const [first, last] = ((await lines.next()).value as string).split(" ");
    return [Number(first), Number(last)];
  };
  await lines.next();
  return {
    pid: child.pid ?? 0,
    fill: async (page, value) => void (await command("fill", page, value)),
    touch: async (page) => void (await command("touch", page)),
    protect: async (page, count) => void (await command("protect", page, count)),
    read: (page) => command("read", page),
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await exited;
    },
  };
}
