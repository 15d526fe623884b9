import type { RunStep } from "../../dockerfile/index.js";
import { UsageError } from "../../errors.js";
import { type AddedLayer, ErofsReader } from "../../rootfs/index.js";
import { stepKey } from "../cache.js";
import { KeptCommand } from "../failed-command.js";
import { commandFailure } from "../failure.js";
import { filesKey, type ImageState } from "../image-state.js";
import type { MachineCommand } from "../machine.js";
import { mountKeys, prepareMounts } from "../mounts/index.js";
import { LayerTree } from "../tree/index.js";
import { doOnce, type StepContext, type StepOutcome } from "./step-context.js";

/** What is kept of a command's output for its failure. */
const KEPT_OUTPUT = 64 * 1024;

/** RUN: the command in a machine, upon the layers so far. */
export async function runStep(context: StepContext, state: ImageState, step: RunStep): Promise<StepOutcome> {
  const { argv, file, env, workdir, user, network, mounts } = step;
  // Proxies are no part of it, so that another one finds the same.
  const parts: unknown[] = ["run", filesKey(state), argv, file, [...env].sort(), workdir, user, network];
  const { rlimits, shmBytes, hosts } = context.settings;
  const isPlain = rlimits.length === 0 && shmBytes === undefined && Object.keys(hosts).length === 0;
  if (mounts.length > 0) parts.push(await mountKeys(context, mounts));
  const key = stepKey(isPlain ? parts : [...parts, context.settings]);
  return doOnce(context, key, () => run(context, state, step));
}

async function run(context: StepContext, state: ImageState, step: RunStep) {
  const { argv, file, env, proxies, workdir: cwd, user, network, mounts } = step;
  let output = Buffer.alloc(0);
  const onOutput = (stream: "stdout" | "stderr", bytes: Buffer) => {
    output = Buffer.concat([output, bytes]).subarray(-KEPT_OUTPUT);
    context.onOutput(stream, bytes);
  };
  using image = new LayerTree(
    "the image",
    state.layers.map(({ path }) => path),
  );
  const prepared = await prepareMounts(context, image, mounts);
  const command: MachineCommand = {
    ...context.settings,
    argv,
    file,
    mounts: prepared,
    env: {
      ...(prepared.sshSocket !== undefined && { SSH_AUTH_SOCK: prepared.sshSocket }),
      ...Object.fromEntries([...proxies, ...env]),
      ...prepared.env,
    },
    cwd,
    user,
    egress: network === "none" ? ("none" as const) : context.egress,
    timeoutMs: context.runTimeoutMs,
    keepFailed: context.keepFailed !== undefined,
    onOutput,
  };
  let isKept = false;
  try {
    const machines = await context.machines();
    const result = await machines.run(state.layers, command, context.layers, context.work);
    if (result.layer) return (await changesNothing(result.layer, state)) ? undefined : result.layer;
    const error = commandFailure(step, result, output.toString(), context.runTimeoutMs);
    isKept = result.machine !== undefined;
    if (result.machine) {
      const shell = step.config.Shell?.[0] ?? "/bin/sh";
      await context.keepFailed?.(new KeptCommand(error, result.machine, command, shell, prepared));
    }
    throw error;
  } finally {
    if (!isKept) await prepared[Symbol.asyncDispose]();
  }
}

/** Nothing but the root folder, and that as it was. */
async function changesNothing(layer: AddedLayer, state: ImageState): Promise<boolean> {
  if (layer.entries > 1) return false;
  using after = new ErofsReader(layer.path);
  using before = new LayerTree(
    "",
    state.layers.map(({ path }) => path),
  );
  const [{ mode, uid, gid }, root] = [after.root.attributes, await before.root()];
  return root.mode === mode && root.uid === uid && root.gid === gid;
}

/** Known before anything is run. @throws UsageError when no machine could do it */
export function checkRun({ network }: RunStep): void {
  if (network !== "host") return;
  throw new UsageError("RUN --network=host is not possible: a microVM has no part in the host's network", {
    hint: "Leave it out; what commands may reach is up to the egress policy.",
  });
}
