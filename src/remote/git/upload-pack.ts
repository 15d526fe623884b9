import type { Socket } from "node:net";
import { NetworkError, UsageError } from "../../errors.js";
import { shownUrl, type WebClient, type WebResponse } from "../web/index.js";
import { encodePackets } from "./pkt-line.js";
import { parseSshRemote } from "./ssh-remote.js";
import { connectSsh } from "./ssh-upload-pack.js";

const GIT_PORT = 9418;
const SERVICE = "git-upload-pack";

/** A repository's server. It is asked for its refs first, then for a pack. */
export interface UploadPack {
  /** The packets that list the refs. */
  refs(): Promise<AsyncIterable<Buffer>>;
  /** The answer to a request for a pack. */
  request(body: Buffer): Promise<AsyncIterable<Buffer>>;
  close(): void;
}

export interface UploadPackOptions {
  /** The value of an `Authorization` header, for HTTPS. */
  authorization?: string | undefined;
  /** Gives the socket of the agent whose keys may be used for SSH; without it there is no SSH. */
  sshAgent?: (() => Promise<string>) | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Opens a repository by `https://`, `http://`, `git://` or SSH, as git's protocol has it (gitprotocol-http(5), gitprotocol-pack(5), version 0).
 * @throws UsageError for every other form
 */
export async function openUploadPack(
  client: WebClient,
  remote: string,
  options: UploadPackOptions,
): Promise<UploadPack> {
  const url = URL.canParse(remote) ? new URL(remote) : undefined;
  if (url?.protocol === "https:" || url?.protocol === "http:") return new HttpUploadPack(client, url, options);
  if (url?.protocol === "git:") return await connectGit(client, url, options.signal);
  const ssh = parseSshRemote(remote);
  if (!ssh)
    throw new UsageError(`${remote} cannot be fetched: git repositories are reached by https, http, git:// or SSH`);
  if (options.sshAgent)
    return await connectSsh(client, ssh, { agent: await options.sshAgent(), signal: options.signal });
  throw new UsageError(`${remote} cannot be fetched: the build was given no keys for SSH`, {
    hint: "Give it those of your agent with --ssh default, or a token for https with --secret id=GIT_AUTH_TOKEN,env=VARIABLE.",
  });
}

class HttpUploadPack implements UploadPack {
  readonly #client: WebClient;
  readonly #signal: AbortSignal | undefined;
  readonly #headers: Record<string, string>;
  #base: URL;

  constructor(client: WebClient, url: URL, { authorization, signal }: UploadPackOptions) {
    this.#client = client;
    this.#base = url;
    this.#signal = signal;
    // A token must not be sent where everybody can read it.
    this.#headers = authorization !== undefined && url.protocol === "https:" ? { authorization } : {};
  }

  async refs(): Promise<AsyncIterable<Buffer>> {
    const asked = this.#at("info/refs");
    asked.searchParams.set("service", SERVICE);
    const response = await this.#client.exchange(
      asked,
      { headers: this.#headers, signal: this.#signal },
      accept("advertisement"),
    );
    if (response.url.origin !== asked.origin) delete this.#headers.authorization;
    // Where it was redirected to, the pack is asked for too.
    const base = new URL(response.url);
    base.pathname = base.pathname.replace(/\/info\/refs$/, "");
    base.search = "";
    this.#base = base;
    return response.body;
  }

  async request(body: Buffer): Promise<AsyncIterable<Buffer>> {
    const headers = { ...this.#headers, "content-type": `application/x-${SERVICE}-request` };
    const request = { method: "POST", headers, body, signal: this.#signal } as const;
    return (await this.#client.exchange(this.#at(SERVICE), request, accept("result"))).body;
  }

  close(): void {}

  #at(path: string): URL {
    const url = new URL(this.#base);
    url.pathname = `${url.pathname.replace(/\/$/, "")}/${path}`;
    url.search = "";
    return url;
  }
}

function accept(what: "advertisement" | "result") {
  return async (response: WebResponse): Promise<WebResponse> => {
    const { status, headers, url, body } = response;
    const type = headers["content-type"] ?? "";
    if (status === 200 && type.startsWith(`application/x-${SERVICE}-${what}`)) return response;
    body.destroy();
    if (status === 200)
      throw new NetworkError(`${shownUrl(url)} is not a git repository: the answer is of type ${type}`);
    const hint = "If it is private, give a token for it: --secret id=GIT_AUTH_TOKEN,env=VARIABLE.";
    const needsToken = status === 401 || status === 403 || status === 404;
    throw new NetworkError(`${shownUrl(url)}: the git server answered ${status}`, needsToken ? { hint } : {});
  };
}

async function connectGit(client: WebClient, url: URL, signal: AbortSignal | undefined): Promise<UploadPack> {
  const port = Number(url.port) || GIT_PORT;
  const { connectMs, stallMs } = client.limits;
  const socket: Socket = await client.dialer.dial(url.hostname, port, { timeoutMs: connectMs, signal });
  const abort = () => socket.destroy(signal?.reason);
  signal?.addEventListener("abort", abort);
  socket.once("close", () => signal?.removeEventListener("abort", abort));
  // Whoever reads it is told of the error.
  socket.on("error", () => undefined);
  socket.setTimeout(stallMs, () => socket.destroy(new NetworkError(`${url.host} stopped sending`)));
  socket.write(encodePackets([`${SERVICE} ${decodeURI(url.pathname)}\0host=${url.host}\0`]));
  const bytes = socket.iterator({ destroyOnReturn: false });
  return {
    refs: async () => bytes,
    request: async (body) => {
      socket.write(body);
      return bytes;
    },
    close: () => socket.destroy(),
  };
}
