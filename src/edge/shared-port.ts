import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import * as v from "valibot";
import { NetworkError, UsageError } from "../errors.js";
import { home, produceOnce } from "../store/index.js";

/** The word an edge upgrades a connection to, to join another one that has its port already. */
export const SHARE_PROTOCOL = "supermachine-edge";
const NONCE_HEADER = "x-supermachine-nonce";
const PROOF_HEADER = "x-supermachine-proof";
const SECRET_FILE = "edge-secret";
const ANSWER_MS = 5_000;
const MAX_LINE = 4_096;

const Registration = v.object({
  /** The service is reached as NAME.localhost. */
  name: v.pipe(v.string(), v.maxLength(128)),
  /** Where its own edge listens on the loopback. */
  port: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535)),
  /** What that edge knows the one in front of it by. */
  key: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
});
/** A service of another process. */
export type Registration = v.InferOutput<typeof Registration>;
const Claim = v.object({ ...Registration.entries, proof: v.string() });
const Verdict = v.object({ taken: v.optional(v.string()) });

/**
 * Puts a service on a port that the edge of another process of this home has. It is there as long as the connection that this gives is open.
 * @throws NetworkError when whoever has the port is no such edge, UsageError when the name is taken
 */
export async function register(at: { host: string; port: number; isTls: boolean }, own: Registration): Promise<Duplex> {
  const secret = await readSecret();
  const nonce = randomBytes(16).toString("hex");
  const asking = (at.isTls ? httpsRequest : httpRequest)({
    ...{ host: at.host, port: at.port, agent: false, signal: AbortSignal.timeout(ANSWER_MS) },
    headers: { connection: "Upgrade", upgrade: SHARE_PROTOCOL, [NONCE_HEADER]: nonce },
    // Who it is the secret proves, which both have from a file of this user.
    rejectUnauthorized: false,
  });
  asking.end();
  const upgraded = once(asking, "upgrade") as Promise<[IncomingMessage, Duplex]>;
  const refused = once(asking, "response").then(([response]: IncomingMessage[]) => {
    response?.resume();
    throw new Error("it is no edge of this home");
  });
  refused.catch(() => undefined);
  try {
    const [answer, socket] = await Promise.race([upgraded, refused]);
    socket.on("error", () => undefined);
    if (!isProof(secret, "owner", nonce, header(answer, PROOF_HEADER))) throw new Error("it is no edge of this home");
    const proof = proofOf(secret, "member", header(answer, NONCE_HEADER));
    socket.write(`${JSON.stringify({ ...own, proof })}\n`);
    const { taken } = v.parse(Verdict, JSON.parse(await readLine(socket)));
    if (taken === undefined) {
      watch(socket);
      return socket;
    }
    socket.destroy();
    throw new UsageError(taken, { hint: "Choose another name, or another port (--http-port)." });
  } catch (cause) {
    asking.destroy();
    if (cause instanceof UsageError) throw cause;
    throw new NetworkError(`the port ${at.port} at ${at.host} is in use by another program`, {
      cause,
      hint: "Choose another port (--http-port), or 0 for any that is free. Edges share one only with the same TLS.",
    });
  }
}

/**
 * Answers an edge that wants to join.
 * @param add takes the service, or throws why not
 */
export async function acceptRegistration(
  request: IncomingMessage,
  socket: Duplex,
  add: (service: Registration) => void,
): Promise<void> {
  try {
    const secret = await readSecret();
    const nonce = randomBytes(16).toString("hex");
    const proof = proofOf(secret, "owner", header(request, NONCE_HEADER));
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${SHARE_PROTOCOL}\r\n` +
        `${NONCE_HEADER}: ${nonce}\r\n${PROOF_HEADER}: ${proof}\r\n\r\n`,
    );
    const claim = v.parse(Claim, JSON.parse(await readLine(socket)));
    if (!isProof(secret, "member", nonce, claim.proof)) throw new Error("it does not know the secret");
    let verdict: v.InferOutput<typeof Verdict> = {};
    try {
      add(claim);
    } catch (error) {
      verdict = { taken: (error as Error).message };
    }
    socket.write(`${JSON.stringify(verdict)}\n`);
    watch(socket);
  } catch {
    socket.destroy();
  }
}

/** Whoever can read it belongs to this user. */
async function readSecret(): Promise<string> {
  const path = join(home().root, SECRET_FILE);
  return produceOnce(path, {
    find: () => readFile(path, "utf8").catch(() => undefined),
    make: (partial) => writeFile(partial, randomBytes(32).toString("hex"), { mode: 0o600 }),
  });
}

function proofOf(secret: string, who: "owner" | "member", nonce: string): string {
  return createHmac("sha256", secret).update(`${who}:${nonce}`).digest("hex");
}

function isProof(secret: string, who: "owner" | "member", nonce: string, proof: string): boolean {
  const right = Buffer.from(proofOf(secret, who, nonce));
  const given = Buffer.from(proof);
  return right.length === given.length && timingSafeEqual(right, given);
}

function header(message: IncomingMessage, name: string): string {
  return String(message.headers[name] ?? "");
}

/** Notices the end of the other side, whose word is not waited for any more. */
function watch(socket: Duplex): void {
  socket.once("end", () => socket.destroy()).resume();
}

/** One line of text, which has to come soon. What came after it is lost. */
async function readLine(socket: Duplex): Promise<string> {
  const limit = setTimeout(() => socket.destroy(), ANSWER_MS);
  try {
    let line = "";
    while (!line.includes("\n")) {
      const [chunk] = (await Promise.race([
        once(socket, "data"),
        once(socket, "close").then(() => Promise.reject(new Error("it closed the connection"))),
      ])) as [Buffer];
      line += chunk.toString("utf8");
      if (line.length > MAX_LINE) throw new Error("it talks too much");
    }
    return line;
  } finally {
    clearTimeout(limit);
  }
}
