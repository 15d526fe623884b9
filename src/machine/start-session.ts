import type { Worker } from "../engine/index.js";
import { VmError } from "../errors.js";
import { Agent, type SessionIdentity } from "../guest/index.js";

const FIRST_ANSWER_TIMEOUT_MS = 60_000;

/** Begins a session with the agent of a guest that has just come to run. */
export function startSession(
  worker: Worker,
  identity: SessionIdentity | undefined,
  signal: AbortSignal | undefined,
): Promise<Agent> {
  const died = worker.exited.then(() => {
    throw new VmError("the guest ended while it was restored");
  });
  const connected = Agent.connect(worker.links, {
    timeoutMs: FIRST_ANSWER_TIMEOUT_MS,
    ...(identity && { identity }),
    ...(signal && { signal }),
  });
  return Promise.race([connected, died]);
}
