import { readdir, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { UsageError } from "../../errors.js";

/**
 * Certificate authorities to trust for a registry, or `undefined` for just the usual ones: the file
 * `SUPERMACHINE_REGISTRY_CA`, and what docker and podman keep for this registry (`certs.d/HOST/*.crt`).
 * @throws UsageError when `SUPERMACHINE_REGISTRY_CA` cannot be read
 */
export async function certificateAuthorities(
  registry: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<string[] | undefined> {
  const own = [...(await fromSetting(env.SUPERMACHINE_REGISTRY_CA)), ...(await fromFolders(registry, env))];
  if (own.length === 0) return undefined;
  // Given authorities take the place of the usual ones, also of those that Node was started with.
  const extra = await readFile(env.NODE_EXTRA_CA_CERTS || "", "utf8").catch(() => "");
  return [...rootCertificates, ...(extra === "" ? [] : [extra]), ...own];
}

async function fromSetting(path: string | undefined): Promise<string[]> {
  if (!path) return [];
  const pem = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(`SUPERMACHINE_REGISTRY_CA: ${path} cannot be read: ${cause.code}`, { cause });
  });
  if (pem.includes("-----BEGIN CERTIFICATE-----")) return [pem];
  throw new UsageError(`SUPERMACHINE_REGISTRY_CA: ${path} holds no certificate`, { hint: "It has to be in PEM form." });
}

async function fromFolders(registry: string, env: NodeJS.ProcessEnv): Promise<string[]> {
  if (registry.includes("/") || registry.startsWith(".")) return [];
  const own = join(env.XDG_CONFIG_HOME || join(homedir(), ".config"), "containers/certs.d");
  const folders = ["/etc/docker/certs.d", "/etc/containers/certs.d", own].map((folder) => join(folder, registry));
  const found = await Promise.all(folders.map(certificatesIn));
  return found.flat();
}

async function certificatesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [] as string[]);
  const files = names.filter((name) => name.endsWith(".crt")).map((name) => readFile(join(folder, name), "utf8"));
  return Promise.all(files);
}
