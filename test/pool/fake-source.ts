import type { PoolSource } from "../../src/pool/index.js";

/** Something that is lent, without anything behind it. */
export class Thing {
  readonly id: number;
  state: "alive" | "ending" | "gone" = "alive";
  held = true;
  /** Answers questions; else it is silent. */
  answers = true;
  /** Is of no more use for another user. */
  spent = false;
  reason: Error | undefined;
  readonly ended: Promise<Error | undefined>;
  end: (failure?: Error) => void = () => undefined;

  constructor(id: number) {
    this.id = id;
    this.ended = new Promise((resolve) => {
      this.end = (failure) => {
        this.state = "gone";
        resolve(failure);
      };
    });
  }
}

/** Makes {@link Thing}s in the time that it is told. */
export class FakeSource implements PoolSource<Thing> {
  createMs = 100;
  warmMs = 50;
  destroyMs = 10;
  /** The next creations fail with these, or succeed. */
  failures: (Error | undefined)[] = [];
  blocked: string | undefined;
  roomAsked = 0;
  isActive = false;
  /** All that were made, in order. */
  readonly things: Thing[] = [];
  creating = 0;
  aborted = 0;
  /** The most that were there at a time. */
  most = 0;
  mostCreating = 0;

  get alive(): Thing[] {
    return this.things.filter(({ state }) => state !== "gone");
  }

  async create(signal: AbortSignal): Promise<Thing> {
    this.creating++;
    this.mostCreating = Math.max(this.mostCreating, this.creating);
    this.most = Math.max(this.most, this.alive.length + this.creating);
    try {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(resolve, this.createMs);
        signal.addEventListener("abort", () => {
          clearTimeout(timer);
          this.aborted++;
          reject(signal.reason);
        });
      });
      const failure = this.failures.shift();
      if (failure) throw failure;
      const thing = new Thing(this.things.length);
      this.things.push(thing);
      return thing;
    } finally {
      this.creating--;
    }
  }

  async destroy(thing: Thing, reason?: Error): Promise<void> {
    if (thing.state === "gone") return;
    thing.state = "ending";
    thing.reason = reason;
    await new Promise((resolve) => setTimeout(resolve, this.destroyMs));
    thing.end();
  }

  ended(thing: Thing): Promise<Error | undefined> {
    return thing.ended;
  }

  async warm(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, this.warmMs));
  }

  async check(thing: Thing): Promise<void> {
    if (thing.spent) throw new Error("spent");
    await this.ping(thing);
  }

  async ping(thing: Thing): Promise<void> {
    if (!thing.answers) await new Promise(() => undefined);
  }

  hold(thing: Thing, held: boolean): void {
    thing.held = held;
  }

  obstacle(): string | undefined {
    return this.blocked;
  }

  makeRoom(): void {
    this.roomAsked++;
  }

  active(active: boolean): void {
    this.isActive = active;
  }
}
