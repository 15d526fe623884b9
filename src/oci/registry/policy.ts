import { CacheMissError, RegistryUnreachableError, UsageError } from "../../errors.js";
import type { Digest } from "../digest.js";
import type { Descriptor } from "../documents.js";
import type { RegistryReference } from "../reference.js";
import type { DocumentCache, KnownReference } from "./document-cache.js";

/**
 * When a registry is asked: `missing` when what it said is not there or older than
 * `SUPERMACHINE_REGISTRY_REF_CACHE_TTL_MS`, `always`, or `never`.
 */
export type PullPolicy = "missing" | "always" | "never";

const POLICIES: readonly string[] = ["missing", "always", "never"] satisfies PullPolicy[];
const DEFAULT_TTL_MS = 60_000;

/** What a reference has to be resolved with. */
export interface Resolving {
  policy: PullPolicy;
  cache: DocumentCache;
  /** The reference in full, for messages. */
  name: string;
  /** Asks the registry, and keeps what it says. `known` is what need not be fetched again. */
  ask: (known: Digest | undefined) => Promise<Descriptor>;
}

/** @throws UsageError */
export function checkPolicy(policy: string): PullPolicy {
  if (POLICIES.includes(policy)) return policy as PullPolicy;
  throw new UsageError(`${JSON.stringify(policy)} is not a pull policy`, { hint: "It is missing, always or never." });
}

/**
 * Finds what a reference means, here or in the registry. Under `missing`, what is here is used for as long as the registry
 * cannot be reached, however old it is.
 * @throws CacheMissError under `never`, when it is not here
 */
export async function resolve(
  reference: RegistryReference,
  { policy, cache, name, ask }: Resolving,
): Promise<Descriptor> {
  const known = await recall(reference, cache);
  if (policy === "never") {
    if (known !== undefined) return known.descriptor;
    throw new CacheMissError(`${name} is not here, and it must not be pulled`, {
      hint: "Use the pull policy missing or always once.",
    });
  }
  if (policy === "missing" && known !== undefined && isFresh(known)) return known.descriptor;
  try {
    return await ask(known?.descriptor.digest);
  } catch (error) {
    const isOffline = error instanceof RegistryUnreachableError;
    if (policy === "missing" && isOffline && known !== undefined) return known.descriptor;
    throw error;
  }
}

/** What a digest means never changes. */
async function recall(reference: RegistryReference, cache: DocumentCache): Promise<KnownReference | undefined> {
  if (reference.digest === undefined) return cache.recall(reference);
  const descriptor = await cache.describe(reference.digest);
  return descriptor && { descriptor, checkedAt: Date.now() };
}

/** A time in the future is of a clock that was wrong. */
function isFresh({ checkedAt }: KnownReference): boolean {
  const age = Date.now() - checkedAt;
  return age >= 0 && age < lifeMs(process.env.SUPERMACHINE_REGISTRY_REF_CACHE_TTL_MS);
}

function lifeMs(setting: string | undefined): number {
  if (setting === undefined || setting === "") return DEFAULT_TTL_MS;
  if (/^\d{1,15}$/.test(setting)) return Number(setting);
  throw new UsageError(`SUPERMACHINE_REGISTRY_REF_CACHE_TTL_MS is ${JSON.stringify(setting)}`, {
    hint: "It is a number of milliseconds.",
  });
}
