import { mkdir, readdir } from "node:fs/promises";
import { UsageError } from "../../errors.js";
import { TarReader } from "../../rootfs/index.js";
import { explainingNoSpace } from "../../store/index.js";
import { type Extracted, type ExtractOptions, Extractor } from "./extractor.js";

/**
 * Unpacks an archive (not packed) that nobody vouches for into a folder, which is made if it is missing. Devices and pipes are left out, and what
 * else {@link ExtractOptions} does not ask for.
 * @throws UsageError for a folder that holds something; nothing there is replaced
 */
export async function extractArchive(
  archive: AsyncIterable<Buffer>,
  folder: string,
  { signal, ...options }: ExtractOptions & { signal?: AbortSignal | undefined },
): Promise<Extracted> {
  await mkdir(folder, { recursive: true });
  if ((await readdir(folder)).length > 0) {
    throw new UsageError(`${folder} is not empty`, { hint: "Name a new folder, or empty this one." });
  }
  return explainingNoSpace(folder, async () => {
    using extractor = new Extractor(folder, true, options);
    const reader = new TarReader(extractor);
    for await (const chunk of archive) {
      signal?.throwIfAborted();
      reader.write(chunk);
    }
    reader.end();
    extractor.finish();
    return extractor.result;
  });
}
