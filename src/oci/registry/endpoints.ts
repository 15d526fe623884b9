import type { RegistryReference } from "../reference.js";
import { findCredentials } from "./credentials.js";
import { Endpoint } from "./endpoint.js";
import { type Site, sitesOf } from "./hosts.js";
import { checkRegistryAuth, type RegistryAuth } from "./registry-auth.js";
import type { Transport } from "./transport.js";

/** Who is asking. */
export interface EndpointOptions {
  registryAuth?: RegistryAuth | undefined;
  /** Further repositories of the same registry that are read from. */
  readable?: readonly string[] | undefined;
}

/**
 * The places that serve a reference's repository, mirrors first.
 * @param actions what is to be done with the repository, such as `pull` or `pull,push`
 */
export function endpointsOf(
  reference: Pick<RegistryReference, "registry" | "repository">,
  transport: Transport,
  actions: string,
  { registryAuth, readable }: EndpointOptions,
): Endpoint[] {
  const given = registryAuth && checkRegistryAuth(registryAuth);
  // Credentials that were given are for the registry that was named, not for a mirror of it.
  const finderFor = (site: Site) => async (signal: AbortSignal) =>
    given === undefined || site.isMirror
      ? findCredentials(site.registry, site.repository, process.env, signal)
      : { credentials: given };
  return sitesOf(reference).map((site) => new Endpoint(transport, site, actions, finderFor(site), readable));
}

/** What a mirror cannot give, for whatever reason, is asked for at the next place; the last one's error counts. */
export async function firstThatWorks<T>(
  endpoints: readonly Endpoint[],
  signal: AbortSignal | undefined,
  use: (endpoint: Endpoint) => Promise<T>,
): Promise<T> {
  let failure: unknown;
  for (const endpoint of endpoints) {
    try {
      return await use(endpoint);
    } catch (error) {
      signal?.throwIfAborted();
      failure = error;
    }
  }
  throw failure;
}
