/** Where the launcher leaves it for the program, which is another bundle. */
const TASK = Symbol.for("supermachine.supervisor-task");
const place = globalThis as { [TASK]?: Promise<unknown> };

/** What this process, a supervisor's, is told over its IPC channel: at the first call it begins to listen. */
export function supervisorTask(): Promise<unknown> {
  place[TASK] ??= new Promise((resolve) => process.once("message", resolve));
  return place[TASK];
}
