import type { Agent } from "../guest/index.js";
import {
  type ExposedPort,
  type ExposeOptions,
  exposeTcp,
  exposeUdp,
  type ListeningPort,
  listeningPorts,
  watchListeningPorts,
} from "../network/index.js";

/** The ports that programs of a guest listen on, and those of them that are reachable on the host. */
export class VmPorts {
  readonly #agent: Agent;
  readonly #exposed = new Set<ExposedPort>();

  constructor(agent: Agent) {
    this.#agent = agent;
  }

  get exposed(): readonly ExposedPort[] {
    return [...this.#exposed];
  }

  async expose(protocol: "tcp" | "udp", options: ExposeOptions): Promise<ExposedPort> {
    const start = protocol === "udp" ? exposeUdp : exposeTcp;
    const port = await start(this.#agent.network, options);
    this.#exposed.add(port);
    void port.closed.then(() => this.#exposed.delete(port));
    return port;
  }

  listening(signal: AbortSignal | undefined): Promise<ListeningPort[]> {
    return listeningPorts((path, how) => this.#agent.files.read(path, how), signal);
  }

  watch(intervalMs: number, signal: AbortSignal | undefined): AsyncIterable<ListeningPort[]> {
    return watchListeningPorts((path, how) => this.#agent.files.read(path, how), intervalMs, signal);
  }

  /** Makes none of them reachable on the host any more. */
  close(): void {
    for (const port of this.#exposed) void port.close();
  }
}
