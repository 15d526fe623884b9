import { execFileSync } from "node:child_process";

/** Lets no file of this process grow beyond `bytes`, as on a full disk: the write that crosses the limit is cut short. */
export function limitFileSize(bytes: number): Disposable {
  const set = (limit: string) => execFileSync("prlimit", [`--fsize=${limit}:`, "--pid", String(process.pid)]);
  set(String(bytes));
  return { [Symbol.dispose]: () => void set("unlimited") };
}
