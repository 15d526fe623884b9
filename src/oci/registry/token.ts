import * as v from "valibot";
import { RegistryAuthError } from "../../errors.js";
import { collect } from "../file-tree.js";
import { retrying } from "./backoff.js";
import type { Credentials } from "./credentials.js";
import { mayBePlain } from "./hosts.js";
import { httpFailure } from "./http-failure.js";
import { follow } from "./redirects.js";
import type { HttpRequest, Transport } from "./transport.js";

const MAX_ANSWER_BYTES = 1024 * 1024;
/** The specification's value for a server that gives none. */
const DEFAULT_LIFE_SECONDS = 60;
const CLIENT_ID = "supermachine";

const token = v.pipe(v.string(), v.regex(/^[\x21-\x7e]+$/));
const answer = v.object({
  token: v.nullish(token),
  access_token: v.nullish(token),
  expires_in: v.nullish(v.pipe(v.number(), v.minValue(0))),
});

/** A token, and for how long it is good. */
export interface Token {
  value: string;
  lifeMs: number;
}

/** Where a challenge says that tokens are given out, and for what. */
export interface TokenRequest {
  realm: string;
  service: string | undefined;
  scopes: readonly string[];
  credentials: Credentials | undefined;
  /** Why there are no credentials, if that is known. */
  problem: string | undefined;
  /** The registry that sent the challenge. */
  registry: string;
}

/**
 * Asks a token server for a token: with GET, or with POST where there is an identity token to be exchanged (the distribution
 * project's token and oauth2 specifications).
 */
export async function requestToken(transport: Transport, ask: TokenRequest, signal?: AbortSignal): Promise<Token> {
  const { url, request } = build(ask);
  const bytes = await retrying(transport.limits, signal, async () => {
    const response = await follow(transport, url, { ...request, signal });
    if (response.status !== 200) throw await refused(await httpFailure(response), ask, url);
    return collect(response.body, MAX_ANSWER_BYTES);
  });
  return parseAnswer(bytes, url);
}

function parseAnswer(bytes: Buffer, url: URL): Token {
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), answer), bytes.toString("utf8"));
  const value = parsed.success ? parsed.output.token || parsed.output.access_token : undefined;
  if (!parsed.success || !value)
    throw new RegistryAuthError(`the token server ${url.host} gave an answer without a token`);
  return { value, lifeMs: (parsed.output.expires_in || DEFAULT_LIFE_SECONDS) * 1000 };
}

function build({ realm, service, scopes, credentials, registry }: TokenRequest): { url: URL; request: HttpRequest } {
  const url = realmOf(realm, registry);
  if (credentials !== undefined && "identityToken" in credentials) {
    const body = new URLSearchParams({
      grant_type: "refresh_token",
      refresh_token: credentials.identityToken,
      client_id: CLIENT_ID,
      scope: scopes.join(" "),
      ...(service === undefined ? {} : { service }),
    });
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    return { url, request: { method: "POST", headers, body: body.toString() } };
  }
  if (service !== undefined) url.searchParams.set("service", service);
  for (const scope of scopes) url.searchParams.append("scope", scope);
  const headers = credentials === undefined ? {} : { authorization: basic(credentials) };
  return { url, request: { headers } };
}

/** The registry chooses the realm, so it could name one to which a password would go unencrypted. */
function realmOf(realm: string, registry: string): URL {
  const url = URL.canParse(realm) ? new URL(realm) : undefined;
  if (url === undefined || url.username !== "" || url.password !== "" || !/^https?:$/.test(url.protocol)) {
    throw new RegistryAuthError(`${registry} names a token server that is not a URL`);
  }
  if (url.protocol === "https:" || mayBePlain(url.host)) return url;
  throw new RegistryAuthError(
    `${registry} names the token server ${url.host} over plain HTTP, which is not allowed for it`,
    {
      hint: "If that host is to be trusted, add it to SUPERMACHINE_INSECURE_REGISTRIES.",
    },
  );
}

async function refused(failure: Awaited<ReturnType<typeof httpFailure>>, ask: TokenRequest, url: URL): Promise<Error> {
  if (failure.status < 400 || failure.status >= 500 || failure.status === 429) return failure;
  const what = ask.credentials === undefined ? "gives no token without credentials" : "refused the credentials";
  return new RegistryAuthError(`the token server ${url.host} ${what} for ${ask.registry} (${failure.message})`, {
    hint: [`Log in with docker login ${ask.registry}, or give registryAuth.`, ask.problem].filter(Boolean).join(" "),
  });
}

/** RFC 7617. */
export function basic({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}
