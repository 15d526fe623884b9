import { home } from "../store/index.js";
import { DocumentCache } from "./registry/document-cache.js";
import { parseImageSource } from "./source.js";

/** Forgets what a registry said that the reference means: it is asked anew. What is in no registry has nothing to forget. */
export async function forgetTag(reference: string): Promise<void> {
  const source = parseImageSource(reference);
  if (source.kind === "registry") await new DocumentCache(home().blobs).forget(source.reference);
}
