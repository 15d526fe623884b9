import { type ChildProcess, fork } from "node:child_process";

/** Where the launcher leaves the process that it started for the program, which is another bundle. */
const EARLY = Symbol.for("supermachine.early-supervisor");
const place = globalThis as { [EARLY]?: ChildProcess | undefined };

/**
 * A process that becomes a supervisor as soon as it is told what to run. Until then it ends with us; then it outlives us.
 *
 * @param isOpened whether we open the image: whatever has to be downloaded is there then
 */
export function forkSupervisor(main: string, { isOpened }: { isOpened: boolean }): ChildProcess {
  // Node reads these certificates before it begins, which takes longer than the rest of its start.
  const { NODE_EXTRA_CA_CERTS, ...offline } = process.env;
  const env = isOpened ? offline : process.env;
  // No terminal, no descriptor of ours, and a session of its own. It writes to the VM's folder once it knows of it.
  return fork(main, { detached: true, env, stdio: ["ignore", "ignore", "ignore", "ipc"] });
}

/** Starts one that {@link takeEarlySupervisor} gives, before anything of the program is loaded. It keeps this process from nothing, and ends with it. */
export function forkEarlySupervisor(main: string): void {
  const child = forkSupervisor(main, { isOpened: true });
  // One that cannot be started is noticed by whoever takes it.
  child.on("error", () => undefined).unref();
  child.channel?.unref();
  place[EARLY] = child;
  process.once("exit", () => place[EARLY]?.kill("SIGKILL"));
}

/** The one that was started early, if any, which is the caller's from then on. */
export function takeEarlySupervisor(): ChildProcess | undefined {
  const child = place[EARLY];
  place[EARLY] = undefined;
  child?.ref();
  child?.channel?.ref();
  return child;
}
