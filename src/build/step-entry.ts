import * as v from "valibot";
import type { StoredLayer } from "../rootfs/index.js";

/** What is written down of an instruction that was done. */
export const StepEntry = v.object({
  /** The layer that the instruction has made; null when it changed no file. */
  layer: v.nullable(v.string()),
  createdAt: v.pipe(v.string(), v.isoTimestamp()),
});

/** What an instruction brought about. */
export interface StepResult {
  layer: StoredLayer | undefined;
  createdAt: string;
}
