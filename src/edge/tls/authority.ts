import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject, X509Certificate } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { createSecureContext, type SecureContext } from "node:tls";
import { promisify } from "node:util";
import { NetworkError } from "../../errors.js";
import { home, produceOnce } from "../../store/index.js";
import { certificate } from "./certificate.js";
import type { TlsFiles } from "./tls-files.js";

const CERT_FILE = "authority.pem";
const KEY_FILE = "authority.key";
const AUTHORITY_DAYS = 3_650;
/** Browsers refuse longer ones. A certificate is made anew by each edge, and by one that runs on after half of the time. */
const SERVER_DAYS = 90;
const RENEW_MS = (SERVER_DAYS / 2) * 86_400_000;
const MOST_NAMES = 256;

const makeKeys = promisify(generateKeyPair);

/** The local authority: whoever trusts its certificate trusts every edge of this home. */
export interface Authority {
  /** A certificate chain and key for a server with these names and addresses. */
  issue(names: readonly string[]): Promise<{ cert: string; key: string }>;
}

/** Where the certificate of the local authority is, once an edge has needed it. */
export function authorityPath(): string {
  return join(home().tls, CERT_FILE);
}

/** The authority of this home, made on first use. @throws NetworkError when its files are damaged */
export async function openAuthority(): Promise<Authority> {
  const folder = home().tls;
  const { cert, key } = await produceOnce(folder, { find: () => readAuthority(folder), make: makeAuthority });
  const { commonName, privateKey, publicKey } = checked(cert, key, folder);
  return {
    async issue(names) {
      const own = await makeKeys("ec", { namedCurve: "P-256" });
      const issuer = { commonName, publicKey, privateKey };
      const server = certificate({
        ...{ commonName: names[0] ?? "localhost", publicKey: own.publicKey, issuer, days: SERVER_DAYS, names },
      });
      return { cert: server + cert, key: pem(own.privateKey) };
    },
  };
}

/** Certificates of the local authority, for `localhost`, the loopback addresses and each `NAME.localhost` that a client asks for. */
export async function localCertificates(): Promise<TlsFiles> {
  const authority = await openAuthority();
  const known = new Map<string, { context: Promise<SecureContext>; until: number }>();
  const contextFor = (name: string): Promise<SecureContext> => {
    const there = known.get(name);
    if (there && there.until > Date.now()) return there.context;
    if (known.size >= MOST_NAMES) known.clear();
    const context = authority.issue([name, "127.0.0.1", "::1"]).then(createSecureContext);
    known.set(name, { context, until: Date.now() + RENEW_MS });
    return context;
  };
  return {
    ...(await authority.issue(["localhost", "127.0.0.1", "::1"])),
    forName: async (name) =>
      /^(?:[\w.-]{1,200}\.)?localhost$/i.test(name) ? contextFor(name.toLowerCase()) : undefined,
  };
}

async function readAuthority(folder: string): Promise<{ cert: string; key: string } | undefined> {
  try {
    const [cert, key] = await Promise.all([
      readFile(join(folder, CERT_FILE), "utf8"),
      readFile(join(folder, KEY_FILE), "utf8"),
    ]);
    return { cert, key };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

async function makeAuthority(folder: string): Promise<void> {
  const { publicKey, privateKey } = await makeKeys("ec", { namedCurve: "P-256" });
  // Two homes have two authorities: a browser's list should tell them apart.
  const user = userInfo().username.replace(/[^\w.-]/g, "_");
  const commonName = `supermachine local authority of ${user} ${new Date().toISOString().slice(0, 19)}`;
  const issuer = { commonName, publicKey, privateKey };
  const cert = certificate({ commonName, publicKey, issuer, days: AUTHORITY_DAYS });
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(join(folder, KEY_FILE), pem(privateKey), { mode: 0o600 });
  await writeFile(join(folder, CERT_FILE), cert, { mode: 0o600 });
}

function checked(
  cert: string,
  key: string,
  folder: string,
): { commonName: string; privateKey: KeyObject; publicKey: KeyObject } {
  try {
    const own = new X509Certificate(cert);
    const privateKey = createPrivateKey(key);
    if (!own.checkPrivateKey(privateKey)) throw new Error("the key is not that of the certificate");
    if (Date.parse(own.validTo) < Date.now() + SERVER_DAYS * 86_400_000) throw new Error(`it ends on ${own.validTo}`);
    return { commonName: own.subject.replace(/^CN=/, ""), privateKey, publicKey: createPublicKey(privateKey) };
  } catch (cause) {
    throw new NetworkError(`the local authority in ${folder} is of no use: ${(cause as Error).message}`, {
      cause,
      hint: "Remove the folder: the next edge makes another one, which has to be trusted anew.",
    });
  }
}

function pem(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}
