import { homedir } from "node:os";
import { join } from "node:path";
import { type CredentialFile, readCredentialFile } from "./credential-file.js";
import { askHelper } from "./credential-helper.js";
import type { RegistryAuth } from "./registry-auth.js";

/** What a registry, or its token server, is told about who asks. */
export type Credentials = RegistryAuth | { identityToken: string };

/** What was found, and why something was not. */
export interface FoundCredentials {
  credentials?: Credentials;
  /** For the hint of an error, should the registry want credentials. */
  problem?: string;
}

/** Docker keeps the credentials of Docker Hub under this address. */
const DOCKER_HUB_KEY = "https://index.docker.io/v1/";

/**
 * Looks for the credentials of a registry where docker (`$DOCKER_CONFIG/config.json`) and then podman (`auth.json`) keep
 * them: from the helper for this registry, the helper for all, or the file itself.
 * @throws UsageError for a file that cannot be understood
 */
export async function findCredentials(
  registry: string,
  repository: string,
  env: NodeJS.ProcessEnv = process.env,
  signal?: AbortSignal,
): Promise<FoundCredentials> {
  let problem: string | undefined;
  for (const path of credentialFiles(env)) {
    const file = await readCredentialFile(path);
    if (file === undefined) continue;
    const found = await findIn(file, registry, repository, env, signal);
    if (found.credentials !== undefined) return found;
    problem ??= found.problem;
  }
  return problem === undefined ? {} : { problem };
}

function credentialFiles(env: NodeJS.ProcessEnv): string[] {
  const config = env.XDG_CONFIG_HOME || join(homedir(), ".config");
  const files = [
    join(env.DOCKER_CONFIG || join(homedir(), ".docker"), "config.json"),
    env.REGISTRY_AUTH_FILE,
    env.XDG_RUNTIME_DIR && join(env.XDG_RUNTIME_DIR, "containers/auth.json"),
    join(config, "containers/auth.json"),
  ];
  return files.filter((file): file is string => Boolean(file));
}

async function findIn(
  file: CredentialFile,
  registry: string,
  repository: string,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal | undefined,
): Promise<FoundCredentials> {
  const helper = lookUp(file.credHelpers, registry, "") ?? file.credsStore;
  const server = isDockerHub(registry) ? DOCKER_HUB_KEY : registry;
  const answer = helper === undefined ? {} : await askHelper(helper, server, env, signal);
  if (answer.credentials !== undefined) return answer;
  const credentials = lookUp(file.auths, registry, repository);
  return credentials === undefined ? answer : { credentials };
}

/** Keys are hosts, URLs as old docker versions wrote them, or (podman) `HOST/NAMESPACE`, of which the longest counts. */
function lookUp<T>(entries: ReadonlyMap<string, T>, registry: string, repository: string): T | undefined {
  let best: { length: number; value: T } | undefined;
  for (const [key, value] of entries) {
    const { host, path } = splitKey(key);
    const isSame = host === registry || (isDockerHub(host) && isDockerHub(registry));
    const isWithin = path === "" || repository === path || repository.startsWith(`${path}/`);
    if (isSame && isWithin && path.length >= (best?.length ?? 0)) best = { length: path.length, value };
  }
  return best?.value;
}

function splitKey(key: string): { host: string; path: string } {
  const isUrl = /^https?:\/\//.test(key);
  const bare = key.replace(/^https?:\/\//, "").replace(/\/+$/, "");
  const slash = bare.indexOf("/");
  if (slash < 0) return { host: bare, path: "" };
  // A URL's path is that of the registry's interface, `/v1/` or `/v2/`.
  return { host: bare.slice(0, slash), path: isUrl ? "" : bare.slice(slash + 1) };
}

function isDockerHub(host: string): boolean {
  return host === "docker.io" || host === "index.docker.io" || host === "registry-1.docker.io";
}
