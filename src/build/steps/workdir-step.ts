import type { WorkdirStep } from "../../dockerfile/index.js";
import { stepKey } from "../cache.js";
import { draftArchive, LayerDraft } from "../copy/index.js";
import { filesKey, type ImageState } from "../image-state.js";
import { LayerTree, toBytes } from "../tree/index.js";
import { doOnce, type StepContext, type StepOutcome } from "./step-context.js";

/** WORKDIR: a folder that is made when it is missing. */
export function workdirStep(context: StepContext, state: ImageState, { path }: WorkdirStep): Promise<StepOutcome> {
  return doOnce(context, stepKey(["workdir", filesKey(state), path]), async () => {
    using image = new LayerTree(
      "the image",
      state.layers.map((layer) => layer.path),
    );
    const draft = await LayerDraft.begin(image);
    await draft.makeDirectory(toBytes(path), {
      mode: 0o755,
      uid: 0,
      gid: 0,
      mtimeSeconds: context.now,
      xattrs: undefined,
    });
    return draft.isChanged ? context.layers.add(draftArchive(draft), context.work.signal) : undefined;
  });
}
