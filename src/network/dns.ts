import type { Duplex } from "node:stream";
import type { Answer } from "dns-packet";
import { decodeQuery, encodeFailure, encodeResponse, type Query, RCODE, type Response } from "./dns-message.js";
import { Records } from "./dns-records.js";
import { HOST_ADDRESSES, HOST_NAME, type Policy, type Verdict } from "./policy.js";
import type { RememberedNames } from "./remembered-names.js";
import { normalName } from "./rule.js";

const PENDING_MAX = 128;
const TCP_IDLE_MS = 10_000;
const LENGTH_BYTES = 2;
const RELEARN_MS = 60_000;

/** Answers the guest's questions for names as far as its policy allows, and remembers what it was told. */
export class Dns {
  readonly #policy: Policy;
  readonly #names: RememberedNames;
  readonly #records: Records;
  readonly #decided: (name: string, verdict: Verdict) => void;
  #pending = 0;
  #learnt: Promise<unknown> | undefined;
  #learntAt = 0;

  constructor(policy: Policy, names: RememberedNames, decided: (name: string, verdict: Verdict) => void) {
    this.#policy = policy;
    this.#names = names;
    this.#records = new Records(policy.dnsServers);
    this.#decided = decided;
  }

  /** The answer to a message; undefined when there is none to give. */
  async answer(message: Buffer, transport: "udp" | "tcp"): Promise<Buffer | undefined> {
    const query = decodeQuery(message);
    if (query === undefined || this.#pending >= PENDING_MAX) return undefined;
    if ("rcode" in query) return encodeFailure(query);
    this.#pending++;
    try {
      return encodeResponse(query, await this.#respond(query), transport);
    } catch {
      // No server answers, or one with what cannot be encoded.
      return encodeResponse(query, { rcode: RCODE.serverFailure, answers: [] }, transport);
    } finally {
      this.#pending--;
    }
  }

  /** Answers what comes over TCP, one message after the other, until the guest has had enough. */
  async serve(connection: Duplex): Promise<void> {
    const idle = setTimeout(() => connection.destroy(), TCP_IDLE_MS);
    try {
      let waiting = Buffer.alloc(0);
      // The other direction goes on after the end of this one.
      for await (const chunk of connection.iterator({ destroyOnReturn: false })) {
        idle.refresh();
        waiting = Buffer.concat([waiting, chunk as Buffer]);
        for (let message = whole(waiting); message; message = whole(waiting)) {
          waiting = waiting.subarray(LENGTH_BYTES + message.length);
          await this.#reply(connection, message);
        }
      }
      connection.end();
    } catch {
      // It was reset.
    } finally {
      clearTimeout(idle);
    }
  }

  /**
   * Looks up the names that the policy spells out, for an address which the guest knew before this session: it was in a snapshot, or
   * in an image.
   */
  async learn(): Promise<void> {
    if (this.#policy.exactNames.length === 0) return;
    if (!this.#learnt || Date.now() - this.#learntAt > RELEARN_MS) {
      this.#learntAt = Date.now();
      const lookUps = this.#policy.exactNames.flatMap((name) => [this.#find("A", name), this.#find("AAAA", name)]);
      this.#learnt = Promise.allSettled(lookUps);
    }
    await this.#learnt;
  }

  async #reply(connection: Duplex, message: Buffer): Promise<void> {
    const answer = await this.answer(message, "tcp");
    if (!answer) return;
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt16BE(answer.length);
    if (!connection.write(Buffer.concat([length, answer])))
      await new Promise((resolve) => connection.once("drain", resolve).once("close", resolve));
  }

  async #respond(query: Query): Promise<Response> {
    const name = normalName(query.name);
    const verdict = this.#policy.lookUp(name);
    this.#decided(name, verdict);
    // "Refused" would be the word for it, but makes musl's resolver wait for better news until it gives up.
    if (!verdict.allowed) return { rcode: RCODE.noSuchName, answers: [], prohibited: true };
    if (name === HOST_NAME) return { rcode: RCODE.noError, answers: hostRecords(query) };
    if (!this.#records.knows(query.type)) return { rcode: RCODE.notImplemented, answers: [] };
    const answers = await this.#find(query.type, name);
    if (!answers) return { rcode: RCODE.noSuchName, answers: [] };
    // With the spelling of the question: some use random capitals as a proof.
    return { rcode: RCODE.noError, answers: answers.map((answer) => ({ ...answer, name: query.name })) };
  }

  async #find(type: string, name: string): Promise<Answer[] | undefined> {
    const answers = await this.#records.find(type, name);
    for (const answer of answers ?? []) {
      if (answer.type === "A" || answer.type === "AAAA") this.#names.add(name, answer.data, answer.ttl ?? 0);
    }
    return answers;
  }
}

function hostRecords({ type, name }: Query): Answer[] {
  const [data = ""] = HOST_ADDRESSES;
  return type === "A" ? [{ type: "A", name, ttl: 60, data }] : [];
}

/** The first message of a TCP stream, once it is whole. */
function whole(bytes: Buffer): Buffer | undefined {
  if (bytes.length < LENGTH_BYTES) return undefined;
  const end = LENGTH_BYTES + bytes.readUInt16BE(0);
  return bytes.length < end ? undefined : bytes.subarray(LENGTH_BYTES, end);
}
