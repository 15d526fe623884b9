import { fork } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { UsageError, VmError } from "../errors.js";
import { packageRoot } from "../package-root.js";
import { placeOf, removeRecord } from "./record.js";
import { SupervisorAnswer, SupervisorSpec } from "./supervisor-spec.js";

/** The built one, also where this module runs from its source. */
const MAIN = join(packageRoot, "dist", "daemon", "supervisor-main.js");

/** What the supervisor of a VM was told. */
export async function readSpec(name: string): Promise<SupervisorSpec> {
  const path = placeOf(name).spec;
  try {
    return v.parse(SupervisorSpec, JSON.parse(await readFile(path, "utf8")));
  } catch (cause) {
    throw new VmError(`how ${name} is run cannot be read from ${path}`, { cause, hint: "Run its image anew." });
  }
}

/** Starts a supervisor in a process of its own, and waits for its word. */
export async function superviseElsewhere(spec: SupervisorSpec, signal: AbortSignal | undefined): Promise<void> {
  const { folder, messages } = placeOf(spec.name);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const log = openSync(messages, "a", 0o600);
  // `fork` gives it no terminal, no descriptor of ours but the log, and a session of its own: it outlives us.
  const child = fork(MAIN, { detached: true, stdio: ["ignore", log, log, "ipc"] });
  closeSync(log);
  const abort = () => child.kill("SIGKILL");
  signal?.addEventListener("abort", abort, { once: true });
  try {
    child.send(spec);
    const [message] = await Promise.race([once(child, "message"), once(child, "exit").then(() => [undefined])]);
    signal?.throwIfAborted();
    const answer = v.safeParse(SupervisorAnswer, message);
    if (!answer.success)
      throw new VmError(`the supervisor of ${spec.name} ended at once`, { hint: `See ${messages}.` });
    if (answer.output.started) return;
    const { message: text, code } = answer.output;
    throw code === "ERR_SUPERMACHINE_USAGE" ? new UsageError(text) : new VmError(text);
  } catch (error) {
    if (!signal?.aborted) throw error;
    // It was killed before it could clean up.
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    if (!spec.again) await removeRecord(spec.name);
    throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
    if (child.connected) child.disconnect();
    child.unref();
  }
}
