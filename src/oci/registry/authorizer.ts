import { createHash } from "node:crypto";
import { RegistryAuthError } from "../../errors.js";
import { abortable } from "./abortable.js";
import type { Challenge } from "./challenge.js";
import type { Credentials, FoundCredentials } from "./credentials.js";
import type { Site } from "./hosts.js";
import { basic, requestToken } from "./token.js";
import type { Transport } from "./transport.js";

/** A token is not used for its last seconds, so that it does not expire on its way. */
const EXPIRY_MARGIN_MS = 5_000;
const MOST_CACHED = 1_000;

interface Grant {
  header: string;
  /** Milliseconds of the epoch; the grant is not used from then on. */
  until: number;
}

/** Looks for a place's credentials. */
export type FindCredentials = (signal: AbortSignal) => Promise<FoundCredentials>;

/** What this process was granted, by place, scope and credentials. */
const grants = new Map<string, Grant>();

/** Gives the `Authorization` for one repository of one registry, and gets a new one when the registry asks for it. */
export class Authorizer {
  readonly #transport: Transport;
  readonly #site: Site;
  readonly #scopes: readonly string[];
  readonly #find: FindCredentials;
  #found: Promise<FoundCredentials> | undefined;
  #renewal: Promise<string> | undefined;

  /**
   * @param actions what is to be done with the repository, such as `pull` or `pull,push`
   * @param readable further repositories of the same place that are read from
   */
  constructor(
    transport: Transport,
    site: Site,
    actions: string,
    find: FindCredentials,
    readable: readonly string[] = [],
  ) {
    this.#transport = transport;
    this.#site = site;
    const others = readable.filter((repository) => repository !== site.repository);
    this.#scopes = [`repository:${site.repository}:${actions}`, ...others.map((name) => `repository:${name}:pull`)];
    this.#find = find;
  }

  /** What to send; nothing before the registry has asked for something. */
  async current(signal: AbortSignal | undefined): Promise<string | undefined> {
    const grant = grants.get(this.#key(await this.#credentials(signal)));
    return grant !== undefined && Date.now() < grant.until ? grant.header : undefined;
  }

  /**
   * Answers a 401. Several requests that were refused at the same time share one answer.
   * @param sent what the refused request carried
   * @returns what to send now; `undefined` when there is nothing better than what was sent
   * @throws RegistryAuthError when the registry wants what is not there
   */
  async answer(
    challenges: readonly Challenge[],
    sent: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<string | undefined> {
    const current = await this.current(signal);
    if (current !== undefined && current !== sent) return current;
    this.#renewal ??= this.#renew(challenges).finally(() => {
      this.#renewal = undefined;
    });
    const header = await abortable(this.#renewal, signal);
    return header === sent ? undefined : header;
  }

  async #renew(challenges: readonly Challenge[]): Promise<string> {
    const { credentials, problem } = await this.#lookUp();
    const { registry } = this.#site;
    const bearer = challenges.find(({ scheme, parameters }) => scheme === "bearer" && parameters.has("realm"));
    if (bearer !== undefined) return this.#token(bearer, credentials, problem);
    if (!challenges.some(({ scheme }) => scheme === "basic")) {
      throw new RegistryAuthError(`${registry} wants credentials of a kind that is not known here`);
    }
    if (credentials !== undefined && !("identityToken" in credentials)) {
      return this.#remember(credentials, basic(credentials), Number.POSITIVE_INFINITY);
    }
    const login = `Log in with docker login ${registry}, or give registryAuth.`;
    throw new RegistryAuthError(`${registry} wants a user name and a password for ${this.#site.repository}`, {
      hint: problem === undefined ? login : `${login} ${problem}`,
    });
  }

  async #token(
    challenge: Challenge,
    credentials: Credentials | undefined,
    problem: string | undefined,
  ): Promise<string> {
    const { parameters } = challenge;
    // A registry may ask for more than the repository, never for less.
    const others = (parameters.get("scope") ?? "").split(" ").filter((scope) => scope !== "" && !isRepository(scope));
    const token = await requestToken(
      this.#transport,
      {
        realm: parameters.get("realm") ?? "",
        service: parameters.get("service"),
        scopes: [...this.#scopes, ...others],
        credentials,
        problem,
        registry: this.#site.registry,
      },
      this.#transport.closing,
    );
    return this.#remember(credentials, `Bearer ${token.value}`, Date.now() + token.lifeMs - EXPIRY_MARGIN_MS);
  }

  #remember(credentials: Credentials | undefined, header: string, until: number): string {
    if (grants.size >= MOST_CACHED) grants.clear();
    grants.set(this.#key(credentials), { header, until });
    return header;
  }

  /** Why no credentials were found, if that is known. */
  async problem(): Promise<string | undefined> {
    return (await this.#found?.catch(() => undefined))?.problem;
  }

  async #credentials(signal: AbortSignal | undefined): Promise<Credentials | undefined> {
    return (await abortable(this.#lookUp(), signal)).credentials;
  }

  #lookUp(): Promise<FoundCredentials> {
    this.#found ??= this.#find(this.#transport.closing).catch((error: unknown) => {
      this.#found = undefined;
      throw error;
    });
    return this.#found;
  }

  #key(credentials: Credentials | undefined): string {
    const who = createHash("sha256")
      .update(JSON.stringify(credentials ?? null))
      .digest("hex");
    return `${this.#site.scheme ?? ""} ${this.#site.host} ${this.#scopes.join(" ")} ${who}`;
  }
}

function isRepository(scope: string): boolean {
  return scope.startsWith("repository:");
}
