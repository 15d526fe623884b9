import { Delta } from "./delta.js";

/** Where a program's launcher, which is another bundle, leaves what it reads for the program. */
const EARLY = Symbol.for("supermachine.early-delta");
const place = globalThis as { [EARLY]?: { path: string; reading: Promise<Delta> } | undefined };

/** Begins to read what {@link readDelta} will be asked for first, before the rest of the program is loaded. */
export function readDeltaEarly(path: string): void {
  const reading = Delta.read(path);
  reading.catch(() => undefined);
  place[EARLY] = { path, reading };
}

/** Like {@link Delta.read}, which may have been begun. */
export async function readDelta(path: string): Promise<Delta> {
  const early = place[EARLY];
  place[EARLY] = undefined;
  if (early?.path !== path) return Delta.read(path);
  // What failed is tried once more: what was missing may have come, and the error is of this bundle then.
  return early.reading.catch(() => Delta.read(path));
}
