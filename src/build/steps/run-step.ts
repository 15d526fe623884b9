import type { RunStep } from "../../dockerfile/index.js";
import { UsageError } from "../../errors.js";
import { type AddedLayer, ErofsReader } from "../../rootfs/index.js";
import { stepKey } from "../cache.js";
import { commandFailure } from "../failure.js";
import { filesKey, type ImageState } from "../image-state.js";
import { mountKeys, prepareMounts } from "../mounts/index.js";
import { LayerTree } from "../tree/index.js";
import { doOnce, type StepContext, type StepOutcome } from "./step-context.js";

/** What is kept of a command's output for its failure. */
const KEPT_OUTPUT = 64 * 1024;

/** RUN: the command in a machine, upon the layers so far. */
export async function runStep(context: StepContext, state: ImageState, step: RunStep): Promise<StepOutcome> {
  requireSupported(step);
  const { argv, file, env, workdir, user, network, mounts } = step;
  // Proxies are no part of it, so that another one finds the same.
  const parts = ["run", filesKey(state), argv, file, [...env].sort(), workdir, user, network];
  const key = stepKey(mounts.length === 0 ? parts : [...parts, await mountKeys(context, mounts)]);
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
  await using prepared = await prepareMounts(context, image, mounts);
  const command = {
    argv,
    file,
    mounts: prepared,
    env: { ...Object.fromEntries([...proxies, ...env]), ...prepared.env },
    cwd,
    user,
    egress: network === "none" ? ("none" as const) : context.egress,
    onOutput,
  };
  const machines = await context.machines();
  const result = await machines.run(state.layers, command, context.layers, context.work);
  if (!result.layer) throw commandFailure(step, result, output.toString());
  return (await changesNothing(result.layer, state)) ? undefined : result.layer;
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

function requireSupported({ mounts, network }: RunStep): void {
  if (mounts.some(({ type }) => type === "ssh")) {
    throw new UsageError("RUN --mount=type=ssh is not supported", {
      hint: "Give a deploy key as a secret: --mount=type=secret,id=key with --secret id=key,src=FILE.",
    });
  }
  if (network !== "host") return;
  throw new UsageError("RUN --network=host is not possible: a microVM has no part in the host's network", {
    hint: "Leave it out; what commands may reach is up to the egress policy.",
  });
}
