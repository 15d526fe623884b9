import { abortable } from "./abortable.js";
import { Authorizer, type FindCredentials } from "./authorizer.js";
import { retrying } from "./backoff.js";
import { parseChallenges } from "./challenge.js";
import type { Site } from "./hosts.js";
import { codeOf, httpFailure, publicError } from "./http-failure.js";
import { pushError } from "./push-failure.js";
import { follow } from "./redirects.js";
import type { HttpRequest, HttpResponse, Transport } from "./transport.js";

/** A request to a repository. */
export interface RepositoryRequest extends HttpRequest {
  /** Statuses that are an answer; any other is a failure. */
  accept?: readonly number[];
}

/** One repository at one place: the distribution specification's interface to it, with authentication. */
export class Endpoint {
  readonly site: Site;
  readonly transport: Transport;
  readonly #authorizer: Authorizer;
  #base: Promise<URL> | undefined;

  constructor(
    transport: Transport,
    site: Site,
    actions: string,
    credentials: FindCredentials,
    readable: readonly string[] = [],
  ) {
    this.transport = transport;
    this.site = site;
    this.#authorizer = new Authorizer(transport, site, actions, credentials, readable);
  }

  /**
   * Does one exchange below the repository's path, such as `manifests/latest`, without trying again.
   * @throws HttpFailure for a status that is not accepted, and whatever a broken connection throws
   */
  async send(path: string, request: RepositoryRequest): Promise<HttpResponse> {
    return this.sendTo(new URL(`v2/${this.site.repository}/${path}`, await this.#findBase(request.signal)), request);
  }

  /** Like {@link send} to a URL that the registry gave. One of another origin is sent no `Authorization`. */
  async sendTo(url: URL, { accept = [200], ...request }: RepositoryRequest): Promise<HttpResponse> {
    const { signal } = request;
    const isOwn = url.origin === (await this.#findBase(signal)).origin;
    const sent = isOwn ? await this.#authorizer.current(signal) : undefined;
    let response = await follow(this.transport, url, authorized(request, sent));
    // What storage elsewhere refuses, no token of this registry mends.
    if (response.status === 401 && isOwn && response.url.origin === url.origin) {
      const challenges = parseChallenges(response.headers["www-authenticate"]);
      const failure = await httpFailure(response);
      const better = await this.#authorizer.answer(challenges, sent, signal);
      if (better === undefined) throw failure;
      response = await follow(this.transport, url, authorized(request, better));
    }
    if (accept.includes(response.status)) return response;
    throw await httpFailure(response);
  }

  /**
   * Does an exchange and uses its answer, again where that may help.
   * @param what what is wanted, for messages
   * @throws RegistryAuthError, RegistryUnreachableError, ImageNotFoundError, ImageError
   */
  async exchange<T>(
    path: string,
    request: RepositoryRequest,
    what: string,
    use: (response: HttpResponse) => Promise<T>,
  ): Promise<T> {
    try {
      return await retrying(this.transport.limits, request.signal, async () => use(await this.send(path, request)));
    } catch (error) {
      request.signal?.throwIfAborted();
      throw await this.explain(error, what);
    }
  }

  /** The public error for a failure of this place. `what` is what was wanted. */
  async explain(error: unknown, what: string): Promise<Error> {
    return publicError(error, what, this.site.registry, await this.#authorizer.problem());
  }

  /** Like {@link explain}, for what was to be pushed. */
  async explainPush(error: unknown, what: string): Promise<Error> {
    return pushError(error, what, this.site.registry, await this.#authorizer.problem());
  }

  #findBase(signal: AbortSignal | undefined): Promise<URL> {
    this.#base ??= this.#probe().catch((error: unknown) => {
      this.#base = undefined;
      throw error;
    });
    return abortable(this.#base, signal);
  }

  /** Where plain HTTP is allowed TLS is still preferred: it is used if the server speaks it, trusted or not. */
  async #probe(): Promise<URL> {
    const { host, scheme, mayBePlain } = this.site;
    const encrypted = new URL(`https://${host}/`);
    if (scheme !== undefined || !mayBePlain) return new URL(`${scheme ?? "https"}://${host}/`);
    try {
      const response = await this.transport.request(new URL("v2/", encrypted), { signal: this.transport.closing });
      await response.body.dump();
      return encrypted;
    } catch (error) {
      if (speaksTls(codeOf(error))) throw error;
      return new URL(`http://${host}/`);
    }
  }
}

/** Whether an attempt at TLS failed for another reason than that the server does not speak it. */
function speaksTls(code: string): boolean {
  const isOtherProtocol =
    code === "EPROTO" || code.startsWith("ERR_SSL_") || code === "ECONNRESET" || code === "UND_ERR_SOCKET";
  return !isOtherProtocol && code !== "ECONNREFUSED";
}

function authorized(request: HttpRequest, authorization: string | undefined): HttpRequest {
  return authorization === undefined ? request : { ...request, headers: { ...request.headers, authorization } };
}
