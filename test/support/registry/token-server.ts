import { createHash, createPublicKey, createSign, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { KeyPair } from "./certificates.js";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** A request for a token, as it was seen. */
export interface TokenAsked {
  method: string;
  authorization: string | undefined;
  parameters: URLSearchParams;
}

/** What the token server does beyond the usual. */
export interface TokenServerOptions {
  users?: Record<string, string>;
  identityTokens?: string[];
  /** Without credentials nothing is granted. */
  isClosed?: boolean;
  /** Seconds that tokens are good for. */
  expiresIn?: number;
}

/** A token server as the distribution project specifies it, for the tests' registries. */
export interface TokenServer extends AsyncDisposable {
  realm: string;
  service: string;
  issuer: string;
  certificate: string;
  asked: TokenAsked[];
  options: TokenServerOptions;
}

export async function startTokenServer(signer: KeyPair, options: TokenServerOptions = {}): Promise<TokenServer> {
  const names = { service: "test registry, with a comma", issuer: "supermachine tests" };
  const asked: TokenAsked[] = [];
  const server = createServer((request, response) => {
    void answer(request, response).catch((error: unknown) => response.writeHead(500).end(String(error)));
  });
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const parameters = await parametersOf(request);
    asked.push({ method: request.method ?? "", authorization: request.headers.authorization, parameters });
    const granted = isAllowed(request, parameters, running.options);
    response.setHeader("content-type", "application/json");
    if (!granted) return response.writeHead(401).end(JSON.stringify({ errors: [{ code: "UNAUTHORIZED" }] }));
    const lifetime = running.options.expiresIn ?? 300;
    const token = sign(signer, { ...names, scopes: parameters.getAll("scope"), lifetime: Math.max(lifetime, 1) });
    const name = request.method === "POST" ? "access_token" : "token";
    return response.writeHead(200).end(JSON.stringify({ [name]: token, expires_in: lifetime }));
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const running: TokenServer = {
    ...names,
    realm: `http://127.0.0.1:${port}/token`,
    certificate: signer.certificate,
    asked,
    options,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return running;
}

async function parametersOf(request: IncomingMessage): Promise<URLSearchParams> {
  const { searchParams } = new URL(request.url ?? "/", "http://localhost");
  if (request.method !== "POST") return searchParams;
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return new URLSearchParams(Buffer.concat(chunks).toString());
}

function isAllowed(request: IncomingMessage, parameters: URLSearchParams, options: TokenServerOptions): boolean {
  if (request.method === "POST")
    return options.identityTokens?.includes(parameters.get("refresh_token") ?? "") ?? false;
  const basic = /^Basic (.*)$/.exec(request.headers.authorization ?? "")?.[1];
  if (basic === undefined) return options.isClosed !== true;
  const [user = "", ...password] = Buffer.from(basic, "base64").toString().split(":");
  return options.users?.[user] === password.join(":");
}

/** The claims and the key id are what docker-registry's token authentication wants. */
function sign(
  signer: KeyPair,
  claims: { service: string; issuer: string; scopes: string[]; lifetime: number },
): string {
  const certificate = new X509Certificate(readFileSync(signer.certificate));
  const publicKey = createPublicKey(certificate.publicKey.export({ type: "spki", format: "pem" }));
  const header = { typ: "JWT", alg: "RS256", kid: keyId(publicKey.export({ type: "spki", format: "der" })) };
  const now = Math.floor(Date.now() / 1000);
  const access = claims.scopes
    .flatMap((scope) => scope.split(" "))
    .map((scope) => scope.split(":"))
    .map(([type, name, actions = ""]) => ({ type, name, actions: actions.split(",") }));
  const payload = {
    ...{ iss: claims.issuer, sub: "", aud: claims.service, jti: String(Math.random()), access },
    ...{ exp: now + claims.lifetime, nbf: now - 10, iat: now },
  };
  const unsigned = [header, payload].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  const signature = createSign("RSA-SHA256").update(unsigned).sign(readFileSync(signer.key));
  return `${unsigned}.${signature.toString("base64url")}`;
}

/** libtrust's: the first 30 bytes of the key's SHA-256 in base32, in groups of four. */
function keyId(der: Buffer): string {
  const bits = [...createHash("sha256").update(der).digest().subarray(0, 30)]
    .map((byte) => byte.toString(2).padStart(8, "0"))
    .join("");
  const text = (bits.match(/.{5}/g) ?? []).map((five) => ALPHABET[Number.parseInt(five, 2)]).join("");
  return (text.match(/.{4}/g) ?? []).join(":");
}
