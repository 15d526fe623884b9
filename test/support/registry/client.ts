import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { vi } from "vitest";
import {
  type CopyOptions,
  type CopyResult,
  copyImage,
  type OpenImageOptions,
  openImage,
  openSource,
  openTarget,
  parseImageSource,
  parseReference,
  type RegistryAuth,
} from "../../../src/oci/index.js";

/** Waits that are short, so that tests of failures are; not so short that a busy machine is taken for a dead one. */
export const IMPATIENT = { backoffMs: 5, longestWaitMs: 2_000, stallMs: 5_000, connectMs: 5_000 };

/** Folders and an environment without any credentials, mirrors or proxies of the machine that runs the tests. */
export function freshClient(): Disposable & { folder: string } {
  const folder = mkdtempSync(join(tmpdir(), "supermachine-client-"));
  const paths = {
    SUPERMACHINE_HOME: "home",
    DOCKER_CONFIG: "docker",
    XDG_RUNTIME_DIR: "run",
    XDG_CONFIG_HOME: "config",
  };
  for (const [name, path] of Object.entries(paths)) vi.stubEnv(name, join(folder, path));
  for (const name of ["CA", "MIRRORS", "REF_CACHE_TTL_MS"]) vi.stubEnv(`SUPERMACHINE_REGISTRY_${name}`, undefined);
  for (const name of ["SUPERMACHINE_INSECURE_REGISTRIES", "REGISTRY_AUTH_FILE"]) vi.stubEnv(name, undefined);
  for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"]) {
    vi.stubEnv(name, undefined);
    vi.stubEnv(name.toLowerCase(), undefined);
  }
  return {
    folder,
    [Symbol.dispose]() {
      vi.unstubAllEnvs();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** What a pull gave, all of it read and compared with its digests. */
export interface Pulled {
  manifestDigest: string;
  configDigest: string;
  diffIds: string[];
}

/** Opens an image and reads every layer, as a bake does. Throws when a layer is not what its descriptor says. */
export async function pull(reference: string, options: OpenImageOptions = {}): Promise<Pulled> {
  await using image = await openImage(reference, { ...options, network: { ...IMPATIENT, ...options.network } });
  for (const layer of image.layers) {
    const hash = createHash("sha256");
    let size = 0;
    for await (const chunk of await layer.open(options.signal)) {
      hash.update(chunk);
      size += chunk.length;
    }
    const digest = `sha256:${hash.digest("hex")}`;
    if (digest !== layer.digest || size !== layer.size) throw new Error(`layer ${layer.digest} came as ${digest}`);
  }
  const { manifestDigest, configDigest, layers } = image;
  return { manifestDigest, configDigest, diffIds: layers.map(({ diffId }) => diffId) };
}

/** What {@link copy} is told. */
export type CopyTestOptions = Partial<CopyOptions> & Parameters<typeof openTarget>[1] & { sourceAuth?: RegistryAuth };

/** Copies an image into a registry, as a push does, but impatiently. */
export async function copy(source: string, target: string, options: CopyTestOptions = {}): Promise<CopyResult> {
  const network = { ...IMPATIENT, ...options.network };
  const from = parseImageSource(source);
  const { signal, sourceAuth, registryAuth } = options;
  await using origin = await openSource(from, { network, signal, registryAuth: sourceAuth });
  const reference = from.kind === "registry" ? from.reference : undefined;
  await using place = await openTarget(parseReference(target), { registryAuth, network, source: reference });
  return await copyImage(origin, place, { phase: "push", ...options });
}
