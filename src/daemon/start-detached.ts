import { fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { join, resolve } from "node:path";
import * as v from "valibot";
import { UsageError, VmError } from "../errors.js";
import type { Image } from "../image/index.js";
import type { MountOptions } from "../mounts/index.js";
import { checkPolicy, type EgressPolicy, type PublishOptions } from "../network/index.js";
import { packageRoot } from "../package-root.js";
import type { CommandChanges } from "../vm/index.js";
import type { VolumeOptions } from "../volumes/index.js";
import { placeOf, removeRecord } from "./record.js";
import type { RestartPolicy } from "./restart-policy.js";
import { RunningVm } from "./running-vm.js";
import { SupervisorAnswer, type SupervisorSpec } from "./supervisor-spec.js";

/** The built one, also where this module runs from its source. */
const MAIN = join(packageRoot, "dist", "daemon", "supervisor-main.js");
const DEFAULT_GRACE_MS = 10_000;

/** How a VM is started that outlives this process. */
export interface DetachedOptions extends CommandChanges {
  /** By default one made of the image's name. */
  name?: string | undefined;
  /** Variables on top of the image's own. */
  env?: Record<string, string> | undefined;
  /** Working directory; by default the image's. */
  cwd?: string | undefined;
  /** `name`, `uid`, `name:group` or `uid:gid`; by default the image's user. */
  user?: string | undefined;
  /** Folders of the host, as in {@link StartOptions}. */
  mounts?: readonly MountOptions[] | undefined;
  /** Disks that outlive it, as in {@link StartOptions}. */
  volumes?: readonly VolumeOptions[] | undefined;
  /** What it may reach, as in {@link StartOptions}. */
  egress?: EgressPolicy | undefined;
  /** Ports of it that are reachable on the host, as in {@link StartOptions}; here each names its `hostPort`. */
  publish?: readonly PublishOptions[] | undefined;
  labels?: Record<string, string> | undefined;
  /** Keeps nothing of the VM, its output included, once it has ended. */
  remove?: boolean | undefined;
  /** How long the workload has to end after SIGTERM; 10 s by default, as docker has it. */
  graceMs?: number | undefined;
  /** By default a workload that ended is not started again. */
  restart?: RestartPolicy | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Starts an image's workload in a VM that goes on when this process ends, under a supervisor of its own. Resolves when the workload runs.
 * @throws UsageError when the name is taken, VmError when the VM or its workload could not be started
 */
export async function startDetached(image: Image, options: DetachedOptions = {}): Promise<RunningVm> {
  const { signal, name = nameFor(image), env = {}, labels = {}, remove = false, cwd, user } = options;
  const { graceMs = DEFAULT_GRACE_MS, restart = { when: "no" } } = options;
  const cmd = options.cmd && [...options.cmd];
  const entrypoint = options.entrypoint && [...options.entrypoint];
  const { snapshotPath } = image;
  const volumes = (options.volumes ?? []).map((each) => (each.file ? { ...each, file: resolve(each.file) } : each));
  const mounts = (options.mounts ?? []).map((each) => ({ ...each, host: resolve(each.host) }));
  const spec = {
    name,
    snapshotPath,
    mounts,
    volumes,
    egress: options.egress && checkPolicy(options.egress),
    publish: (options.publish ?? []).map(withHostPort),
    cmd,
    entrypoint,
    env,
    cwd,
    user,
    labels,
    remove,
    graceMs,
    restart,
  };
  signal?.throwIfAborted();
  await superviseElsewhere(spec, signal);
  return new RunningVm(name);
}

/** `python-0123456789ab`, a snapshot, becomes `python-a1b2c3`, a VM. */
function nameFor(image: Image): string {
  const stem = image.name.replace(/-[0-9a-f]{12}$/, "").slice(0, 48);
  return `${stem}-${randomBytes(3).toString("hex")}`;
}

async function superviseElsewhere(spec: SupervisorSpec, signal: AbortSignal | undefined): Promise<void> {
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
    await removeRecord(spec.name);
    throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
    if (child.connected) child.disconnect();
    child.unref();
  }
}

function withHostPort(port: PublishOptions): PublishOptions {
  if (port.hostPort) return port;
  throw new UsageError(`no port on the host is named for port ${port.guestPort} of the VM`, {
    hint: "A VM in the background gets no random one, which would change with each restart.",
  });
}
