import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { unpackBundle } from "./container-bundle.js";

/**
 * Runs containers by name, each in the background, and says when one has ended. A shell of its own starts them: to have Node start
 * a process takes longer than all that crun does.
 */
const SCRIPT = `
if [ "$2" = crun ] && [ -e /sys/fs/cgroup/unified ]; then umount /sys/fs/cgroup/unified || exit; set -- "$1" "$2" --cgroup-manager=cgroupfs; fi
bundle=$1; shift
while read -r id; do { "$@" run --bundle "$bundle" "$id" </dev/null >/dev/null; echo "$id $?"; } & done
wait
`;

/**
 * A rival: the file system of an OCI image as ordinary containers of runc or crun (Debian packages runc, crun and umoci). crun
 * refuses hosts with both versions of control groups; there it is shown the first alone, which runc uses too.
 */
export class Containers implements AsyncDisposable {
  readonly #folder: string;
  readonly #shell: ChildProcess;
  readonly #ended = new Map<string, (code: string) => void>();
  #runs = 0;

  private constructor(folder: string, shell: ChildProcess) {
    this.#folder = folder;
    this.#shell = shell;
    if (!shell.stdout) throw new Error("the shell has no output");
    createInterface({ input: shell.stdout }).on("line", (line) => {
      const [id = "", code = ""] = line.split(" ");
      this.#ended.get(id)?.(code);
    });
  }

  /** @param layout folder of an OCI layout that has the tag `latest` */
  static async open(runtime: "runc" | "crun", layout: string): Promise<Containers> {
    const folder = mkdtempSync(join(tmpdir(), `supermachine-${runtime}-`));
    const bundle = join(folder, "bundle");
    await unpackBundle(layout, bundle, ["true"]);
    const shell = spawn("unshare", ["-m", "bash", "-c", SCRIPT, "bench", bundle, runtime], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    return new Containers(folder, shell);
  }

  /** Creates a container, runs `true` in it, and removes it. */
  async run(): Promise<void> {
    const id = `supermachine-bench-${process.pid}-${this.#runs++}`;
    const code = await new Promise<string>((resolve) => {
      this.#ended.set(id, resolve);
      this.#shell.stdin?.write(`${id}\n`);
    });
    this.#ended.delete(id);
    if (code !== "0") throw new Error(`the container ended with code ${code}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#shell.stdin?.end();
    await new Promise((resolve) => this.#shell.once("exit", resolve));
    if (existsSync(this.#folder)) rmSync(this.#folder, { recursive: true });
  }
}
