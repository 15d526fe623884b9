import { NetworkError } from "../../errors.js";
import { mayBePlain } from "./hosts.js";
import type { HttpRequest, HttpResponse, Transport } from "./transport.js";

const MAX_REDIRECTS = 5;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * Does an exchange and follows redirects. `Authorization` is for the first host alone: it is left away from the first
 * redirect to another scheme, host or port on, and does not come back.
 */
export async function follow(transport: Transport, start: URL, request: HttpRequest): Promise<HttpResponse> {
  let url = start;
  let headers = request.headers ?? {};
  for (let hops = 0; ; hops++) {
    const response = await transport.request(url, { ...request, headers });
    const { location } = response.headers;
    if (!REDIRECTS.has(response.status) || location === undefined) return response;
    await response.body.dump();
    if (hops === MAX_REDIRECTS) throw new NetworkError(`${start.host} redirects more than ${MAX_REDIRECTS} times`);
    const next = targetOf(location, url);
    if (next.origin !== url.origin) headers = withoutAuthorization(headers);
    url = next;
  }
}

/**
 * Where a registry's `Location` leads. Only hosts are named in messages: what storage is asked with is often a secret in itself.
 * @throws NetworkError when it is not a URL that may be asked
 */
export function targetOf(location: string, from: URL): URL {
  if (!URL.canParse(location, from.href))
    throw new NetworkError(`${from.host} redirects to something that is not a URL`);
  const next = new URL(location, from);
  if (next.protocol !== "https:" && next.protocol !== "http:") {
    throw new NetworkError(`${from.host} redirects to something that is not HTTP`);
  }
  if (next.protocol === "http:" && !mayBePlain(next.host)) {
    throw new NetworkError(`${from.host} redirects to ${next.host} over plain HTTP, which is not allowed for it`, {
      hint: "If that host is to be trusted, add it to SUPERMACHINE_INSECURE_REGISTRIES.",
    });
  }
  next.username = "";
  next.password = "";
  return next;
}

function withoutAuthorization(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name.toLowerCase() !== "authorization"));
}
