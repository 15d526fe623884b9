import * as v from "valibot";
import { isDigest, parseDocument } from "../../oci/index.js";
import { StepEntry } from "../step-entry.js";

/** Of the config of a cache's manifest, by which it is told from an image. Its layers are those of the steps, not packed. */
export const CACHE_CONFIG = "application/vnd.supermachine.build-cache.config.v1+json";
/** More than a Dockerfile can have. */
const MOST_STEPS = 20_000;

const SharedStep = v.object({
  /** What the instruction depends on; another version of this program asks for others. */
  key: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, "is not a key")),
  ...StepEntry.entries,
  layer: v.nullable(v.pipe(v.string(), v.check(isDigest, "is not a digest"))),
});
const SharedSteps = v.object({
  schemaVersion: v.literal(1, "must be 1"),
  steps: v.pipe(v.array(SharedStep), v.maxLength(MOST_STEPS, "has too many steps")),
});

/** What an instruction has brought about, as other machines are told of it. */
export type SharedStep = v.InferOutput<typeof SharedStep>;

/** @throws ImageError that says what is wrong */
export function parseSharedSteps(bytes: Uint8Array, what: string): SharedStep[] {
  return parseDocument(SharedSteps, bytes, what).steps;
}

/** The same steps give the same bytes. */
export function formatSharedSteps(steps: readonly SharedStep[]): Buffer {
  const sorted = steps.toSorted((a, b) => (a.key < b.key ? -1 : 1));
  return Buffer.from(JSON.stringify({ schemaVersion: 1, steps: sorted }));
}
