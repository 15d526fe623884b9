import type { Agent } from "../guest/index.js";
import { limitsFor } from "./limits.js";
import type { Mount } from "./options.js";
import { FolderServer } from "./server.js";

/**
 * Mounts a folder in a guest of `memoryMiB`, and serves it for as long as the connection to the guest lasts.
 * @throws VmError when the guest cannot mount it
 */
export async function mountFolder(agent: Agent, mount: Mount, memoryMiB: number, signal?: AbortSignal): Promise<void> {
  const { host, guest, readOnly, symlinks, owner } = mount;
  let server: FolderServer | undefined;
  await agent.mountFuse(
    { path: guest, readOnly, user: owner },
    {
      mounted: (shownOwner, stream) => {
        server = new FolderServer({ host, readOnly, symlinks }, shownOwner, limitsFor(memoryMiB), stream);
      },
      data: (bytes) => server?.take(bytes),
      closed: () => server?.[Symbol.dispose](),
    },
    signal ? { signal } : {},
  );
}
