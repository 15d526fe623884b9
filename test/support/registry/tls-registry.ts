import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeAuthority, makeServerCertificate } from "./certificates.js";
import type { Cleanup } from "./cleanup.js";
import { startRegistry, type TestRegistry } from "./docker-registry.js";

/** A registry that speaks TLS as `localhost`, and the file of the authority's certificate that vouches for it. */
export async function tlsRegistry(cleanup: Cleanup): Promise<{ registry: TestRegistry; authority: string }> {
  const folder = mkdtempSync(join(tmpdir(), "supermachine-keys-"));
  cleanup.use({ [Symbol.asyncDispose]: async () => rmSync(folder, { recursive: true, force: true }) });
  const authority = await makeAuthority(folder);
  const registry = cleanup.use(
    await startRegistry({ tls: await makeServerCertificate(folder, authority, ["DNS:localhost"]) }),
  );
  return { registry, authority: authority.certificate };
}
