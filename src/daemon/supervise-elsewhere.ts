import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import * as v from "valibot";
import { UsageError, VmError } from "../errors.js";
import { placeOf, removeRecord, type VmRecord } from "./record.js";
import { startSupervisor, type WaitingSupervisor } from "./supervisor-process.js";
import { SupervisorAnswer, SupervisorSpec, type SupervisorTask } from "./supervisor-spec.js";

/** What the supervisor of a VM was told. */
export async function readSpec(name: string): Promise<SupervisorSpec> {
  const path = placeOf(name).spec;
  try {
    return v.parse(SupervisorSpec, JSON.parse(await readFile(path, "utf8")));
  } catch (cause) {
    throw new VmError(`how ${name} is run cannot be read from ${path}`, { cause, hint: "Run its image anew." });
  }
}

/** How {@link superviseElsewhere} gets at a supervisor. */
interface ElsewhereOptions extends Pick<SupervisorTask, "worker"> {
  signal: AbortSignal | undefined;
  /** By default one is started. */
  supervisor?: WaitingSupervisor | undefined;
}

/** Has a supervisor in a process of its own run a VM, and waits for its word: what the VM is then. */
export async function superviseElsewhere(spec: SupervisorSpec, options: ElsewhereOptions): Promise<VmRecord> {
  const { signal, supervisor, worker } = options;
  const { folder, messages } = placeOf(spec.name);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const child = supervisor ? supervisor.take() : startSupervisor();
  const abort = () => child.kill("SIGKILL");
  signal?.addEventListener("abort", abort, { once: true });
  try {
    child.send({ spec, worker } satisfies SupervisorTask);
    const [message] = await Promise.race([once(child, "message"), once(child, "exit").then(() => [undefined])]);
    signal?.throwIfAborted();
    const answer = v.safeParse(SupervisorAnswer, message);
    if (!answer.success)
      throw new VmError(`the supervisor of ${spec.name} ended at once`, { hint: `See ${messages}.` });
    if (answer.output.started) return answer.output.record;
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
