import { writeFileSync } from "node:fs";
import { Duplex } from "node:stream";
import { vi } from "vitest";
import type {
  BootSource,
  Disk,
  Hardware,
  Hypervisor,
  RamFile,
  StartOptions,
  Worker,
  WorkerExit,
} from "../../src/engine/index.js";
import { Agent } from "../../src/guest/index.js";

/** What becomes of a guest: its agent answers, its process ends, or nothing ever comes, with or without words on the console. */
export type Fate = "answers" | "dies" | "silent" | "chatty";

const RAM_BYTES = 8192;

/** A worker without a process. What was asked of it is in `log`. */
export class FakeWorker implements Worker {
  readonly pid = process.pid;
  readonly links = { control: deadEnd(), bulk: deadEnd() };
  readonly exited: Promise<WorkerExit>;
  readonly log: string[] = [];
  readonly fate: Fate;
  #exit: (exit: WorkerExit) => void = () => undefined;
  #console = 0;

  constructor(fate: Fate) {
    this.fate = fate;
    this.exited = new Promise((resolve) => {
      this.#exit = resolve;
    });
    if (fate === "dies") this.end({ code: 1, signal: null, expected: false });
  }

  end(exit: WorkerExit): void {
    this.#exit(exit);
  }
  diagnostics(): string {
    return "the last words of the console";
  }
  consoleBytes(): number {
    return this.fate === "chatty" ? this.#console++ : 1;
  }
  async attachDisks(disks: readonly Disk[]): Promise<void> {
    this.log.push(`attach ${disks.map(({ lun, path }) => `${lun}=${path}`).join()}`);
  }
  async detachDisk({ lun }: Disk): Promise<void> {
    this.log.push(`detach ${lun}`);
  }
  async copyDisk({ lun }: Disk): Promise<{ done: Promise<void> }> {
    this.log.push(`copy ${lun}`);
    return { done: Promise.resolve() };
  }
  async loadDeviceState(state: Uint8Array): Promise<void> {
    this.log.push(`load ${Buffer.from(state)}`);
  }
  async saveDeviceState(path: string): Promise<void> {
    this.log.push("save");
    writeFileSync(path, "device state");
  }
  async pause(): Promise<void> {
    this.log.push("pause");
  }
  async resume(): Promise<void> {
    this.log.push("resume");
  }
  ref(): void {
    this.log.push("ref");
  }
  unref(): void {
    this.log.push("unref");
  }
  async kill(): Promise<void> {
    this.log.push("kill");
    this.end({ code: null, signal: "SIGKILL", expected: true });
  }
}

/** A hypervisor whose guests fare as `fates` says, one after the other; the last one goes for all that follow. */
export class FakeHypervisor implements Hypervisor {
  identity = "fake 1";
  readonly workers: FakeWorker[] = [];
  readonly boots: { hardware: Hardware; ram: RamFile; source: BootSource }[] = [];
  fates: Fate[];

  constructor(...fates: Fate[]) {
    this.fates = fates;
  }

  async boot(hardware: Hardware, ram: RamFile, source: BootSource): Promise<Worker> {
    this.boots.push({ hardware, ram, source });
    writeFileSync(ram.path, Buffer.alloc(RAM_BYTES));
    return this.#next();
  }

  async prepare(
    _hardware: Hardware,
    ram: RamFile,
    disks: readonly Disk[],
    { greeted }: StartOptions = {},
  ): Promise<Worker> {
    const worker = this.#next();
    greeted?.(worker.pid);
    worker.log.push(`prepare ${ram.shared ? "shared" : "private"} ${disks.map(({ path }) => path).join()}`);
    return worker;
  }

  waitingCommand(_hardware: Hardware, ram: RamFile, disks: readonly Disk[]): string[] {
    return ["fake", ram.path, ...disks.map(({ path }) => path)];
  }

  #next(): FakeWorker {
    const worker = new FakeWorker(this.fates.length > 1 ? this.fates.shift()! : this.fates[0]!);
    this.workers.push(worker);
    return worker;
  }
}

/** The agent of a {@link FakeWorker}'s guest. */
export class FakeAgent {
  readonly log: string[] = [];
  failQuiesce = false;
  async quiesce(): Promise<void> {
    this.log.push("quiesce");
    if (this.failQuiesce) throw new Error("the guest does not come to rest");
  }
  resume(): void {
    this.log.push("resume");
  }
  async shutdown(): Promise<void> {
    this.log.push("shutdown");
  }
  detach(): void {
    this.log.push("detach");
  }
  close(error?: Error): void {
    this.log.push(`close ${error?.message ?? ""}`.trim());
  }
}

/** Lets every guest that answers have a {@link FakeAgent}; the others are waited for by the real one. Gives those agents. */
export function fakeAgents(hypervisor: FakeHypervisor): FakeAgent[] {
  const agents: FakeAgent[] = [];
  const connect = Agent.connect.bind(Agent);
  vi.spyOn(Agent, "connect").mockImplementation(async (links, options) => {
    const worker = hypervisor.workers.find((each) => each.links.control === links.control);
    if (worker?.fate !== "answers") return connect(links, options);
    const agent = new FakeAgent();
    agents.push(agent);
    return agent as unknown as Agent;
  });
  return agents;
}

function deadEnd(): Duplex {
  return new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
}
