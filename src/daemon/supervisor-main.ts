import * as v from "valibot";
import { SupermachineError } from "../errors.js";
import { placeOf, type VmRecord } from "./record.js";
import { supervise } from "./supervise.js";
import { writeTo } from "./supervisor-process.js";
import { type SupervisorAnswer, SupervisorTask } from "./supervisor-spec.js";
import { supervisorTask } from "./supervisor-task.js";

// The process of a supervisor: it is told what to do over the IPC channel of who starts it, which it gives up once the VM runs.
const starting = new AbortController();
const answer = (text: SupervisorAnswer) => {
  if (process.connected) process.send?.(text);
};
void main();

async function main(): Promise<void> {
  try {
    // Until the VM runs it belongs to who wanted it.
    const gone = () => starting.abort(new Error("the process that wanted the VM went away"));
    process.once("disconnect", gone);
    // It may have gone while this was loaded.
    if (!process.connected) gone();
    const { spec } = v.parse(SupervisorTask, await supervisorTask());
    writeTo(placeOf(spec.name).messages);
    const onStarted = (record: VmRecord) => {
      process.removeAllListeners("disconnect");
      answer({ started: true, record });
      process.disconnect?.();
    };
    await supervise(spec, onStarted, starting.signal);
  } catch (error) {
    const code = SupermachineError.is(error) ? error.code : undefined;
    const text = error instanceof Error ? error.message : String(error);
    answer({ started: false, message: text, ...(code !== undefined && { code }) });
    process.stderr.write(`${new Date().toISOString()} ${text}\n`);
    process.exitCode = 1;
    if (process.connected) process.disconnect();
  }
}
