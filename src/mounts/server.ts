import { errnoNumber } from "../guest/index.js";
import { Handles } from "./handles.js";
import { Framed, type Reply, type Session } from "./operations/session.js";
import { HANDLERS, takeSilent } from "./operations/table.js";
import type { Mount } from "./options.js";
import { RequestDecoder } from "./request-decoder.js";
import { FileTree, type Limits } from "./tree.js";
import { encodeReply, type Owner, Refusal, type Request, writeReplyHeader } from "./wire.js";

/** Requests that are served at a time, or whose answers have not yet left; what else comes waits in the stream. */
const UNDER_WAY_MAX = 64;
/** After so long everything else in this process has its turn. */
const TURN_MS = 8;

/** Where a server's answers go. */
export interface ServerOutput {
  /** `done` is called once the message is on its way, or nobody wants it any more. */
  send(message: Buffer, done: () => void): void;
  /** So many bytes of requests have been dealt with. */
  consumed(bytes: number): void;
}

/** Serves one folder to one guest. Everything that comes from there is taken for hostile. */
export class FolderServer implements Disposable {
  readonly #session: Session;
  readonly #output: ServerOutput;
  readonly #decoder = new RequestDecoder();
  #queue: { request: Request; bytes: number }[] = [];
  #underWay = 0;
  #scheduled = false;
  #over = false;

  /** @throws the errors of opening the folder */
  constructor(
    mount: Pick<Mount, "host" | "readOnly" | "symlinks">,
    owner: Owner,
    limits: Limits,
    output: ServerOutput,
  ) {
    const tree = new FileTree(mount.host, mount.symlinks, limits);
    const { readOnly, symlinks } = mount;
    this.#session = { tree, handles: new Handles(limits.handles), owner, readOnly, symlinks };
    this.#output = output;
  }

  /** Bytes of the guest. @throws Error when they are no requests */
  take(chunk: Buffer): void {
    this.#decoder.push(chunk, (request, bytes) => this.#queue.push({ request, bytes }));
    this.#serveSome();
  }

  /** What the guest's kernel refers to, for tests and diagnostics. */
  get counts(): { nodes: number; handles: number; waiting: number } {
    const { tree, handles } = this.#session;
    return { nodes: tree.nodes.size, handles: handles.size, waiting: this.#queue.length };
  }

  /** Closes everything. What is under way ends without an answer. */
  [Symbol.dispose](): void {
    if (this.#over) return;
    this.#over = true;
    this.#queue = [];
    this.#session.handles[Symbol.dispose]();
    this.#session.tree[Symbol.dispose]();
  }

  #serveSome(): void {
    const end = performance.now() + TURN_MS;
    let served = 0;
    while (!this.#over && served < this.#queue.length && this.#underWay < UNDER_WAY_MAX && performance.now() < end) {
      const next = this.#queue[served++];
      if (next) this.#serve(next.request, next.bytes);
    }
    this.#queue.splice(0, served);
    if (this.#queue.length > 0 && this.#underWay < UNDER_WAY_MAX) this.#serveLater();
  }

  #serveLater(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#serveSome();
    });
  }

  #serve(request: Request, bytes: number): void {
    this.#session.tree.anchors.trim();
    if (takeSilent(this.#session, request)) {
      this.#output.consumed(bytes);
      return;
    }
    this.#underWay++;
    try {
      const reply = this.#handle(request);
      if (reply instanceof Promise) void this.#answerLater(request, reply, bytes);
      else this.#answer(finished(request, reply), bytes);
    } catch (error) {
      this.#answer(encodeReply(request.unique, errnoOf(error)), bytes);
    }
  }

  #handle(request: Request): Reply | Promise<Reply> {
    const handler = HANDLERS.get(request.opcode);
    if (!handler) throw new Refusal("ENOSYS");
    return handler(this.#session, request);
  }

  async #answerLater(request: Request, reply: Promise<Reply>, bytes: number): Promise<void> {
    const message = await reply.then(
      (body) => finished(request, body),
      (error: unknown) => encodeReply(request.unique, errnoOf(error)),
    );
    this.#answer(message, bytes);
  }

  #answer(message: Buffer, bytes: number): void {
    if (this.#over) return;
    this.#output.send(message, () => {
      this.#underWay--;
      if (this.#over) return;
      this.#output.consumed(bytes);
      if (this.#queue.length > 0) this.#serveLater();
    });
  }
}

const EINVAL = 22;
const EIO = 5;

function finished(request: Request, reply: Reply): Buffer {
  if (!(reply instanceof Framed)) return encodeReply(request.unique, 0, reply);
  writeReplyHeader(reply.message, request.unique, 0);
  return reply.message;
}

function errnoOf(error: unknown): number {
  // A body that is too short for what it ought to hold.
  if (error instanceof RangeError) return EINVAL;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return errnoNumber(code) ?? EIO;
}
