import { Duplex } from "node:stream";
import { Agent } from "../../src/guest/index.js";
import { sessionOk } from "./frame-builder.js";

/** The far end of a link, which says what a test makes it say. */
export class FakeLink {
  readonly link: Duplex;
  received = Buffer.alloc(0);
  #onWrite: (bytes: Buffer) => void = () => {};

  constructor() {
    this.link = new Duplex({
      read() {},
      write: (chunk: Buffer, _encoding, done) => {
        this.received = Buffer.concat([this.received, chunk]);
        this.#onWrite(chunk);
        done();
      },
    });
  }

  say(...bytes: Buffer[]): void {
    for (const each of bytes) this.link.push(each);
  }

  /** Answers SESSION, whose nonce follows mark, header, version field and the nonce field's header. */
  answerSession(): void {
    this.#onWrite = () => {
      if (this.received.length < 50) return;
      this.#onWrite = () => {};
      this.say(sessionOk(Buffer.from(this.received.subarray(34, 50))));
    };
  }
}

/** An agent whose far ends have answered SESSION. */
export async function connected(): Promise<{ agent: Agent; control: FakeLink; bulk: FakeLink }> {
  const control = new FakeLink();
  const bulk = new FakeLink();
  control.answerSession();
  bulk.answerSession();
  const agent = await Agent.connect({ control: control.link, bulk: bulk.link }, { timeoutMs: 5_000 });
  return { agent, control, bulk };
}
