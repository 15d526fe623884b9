import type { WorkdirStep } from "../../dockerfile/index.js";
import { stepKey } from "../cache.js";
import { draftLayer, LayerDraft } from "../copy/index.js";
import { filesKey, type ImageState } from "../image-state.js";
import { parseOwner } from "../owner.js";
import { LayerTree, toBytes } from "../tree/index.js";
import { doOnce, type StepContext, type StepOutcome } from "./step-context.js";

/** WORKDIR: a folder that is made when it is missing, and then belongs to the user that commands run as. */
export function workdirStep(context: StepContext, state: ImageState, step: WorkdirStep): Promise<StepOutcome> {
  const path = toBytes(step.path);
  const user = step.user || "0";
  return doOnce(context, stepKey(["workdir", filesKey(state), path, user]), async () => {
    using image = new LayerTree(
      "the image",
      state.layers.map((layer) => layer.path),
    );
    const draft = await LayerDraft.begin(image);
    const there = await draft.find(path);
    if (there && "children" in there) return undefined;
    await draft.makeDirectory(path, {
      mode: 0o755,
      ...(await parseOwner(user, image)),
      mtimeSeconds: context.now,
      xattrs: undefined,
    });
    return draft.isChanged ? await context.layers.add(draftLayer(draft), context.work.signal) : undefined;
  });
}
