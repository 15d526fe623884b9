import { UsageError } from "../errors.js";
import { Problem } from "./problem.js";
import type { Service, ServiceHealth, ServiceState } from "./service.js";

const NAME = /^[a-z0-9]([a-z0-9._-]{0,126}[a-z0-9])?$/i;
const SUFFIX = ".localhost";

/** What `/_health` answers. */
export interface EdgeHealth {
  /** `ok` as long as every service can take requests, one that is asleep included. */
  status: "ok" | "degraded" | "unavailable";
  services: ServiceHealth[];
}

/** Which service a request is for. */
export class Router {
  /** In the order in which they came. */
  readonly #services = new Map<string, Service>();

  /** @throws UsageError when the name is taken, or none that a host could have */
  add(service: Service): void {
    const { name } = service;
    if (!NAME.test(name))
      throw new UsageError(`${JSON.stringify(name)} cannot be a service's name`, {
        hint: "It becomes a part of NAME.localhost: letters, digits, dots, dashes and underscores.",
      });
    const key = name.toLowerCase();
    if (this.#services.has(key)) throw new UsageError(`a service with the name ${name} is served already`);
    this.#services.set(key, service);
  }

  remove(service: Service): void {
    const key = service.name.toLowerCase();
    if (this.#services.get(key) === service) this.#services.delete(key);
  }

  get services(): Service[] {
    return [...this.#services.values()];
  }

  /**
   * The service of `NAME.localhost`; any other host, such as `localhost` or an address, is the one that was added first of those there are.
   * @throws Problem when there is none
   */
  find(host = ""): Service {
    const name = nameIn(host);
    const [first] = this.#services.values();
    const service = name === undefined ? first : this.#services.get(name);
    if (service) return service;
    const names = this.services.map((each) => `${each.name}${SUFFIX}`).join(", ");
    const what = name === undefined ? "no service is here" : `no service ${name} is here`;
    throw new Problem(404, "no_such_service", names === "" ? what : `${what}; there are ${names}`);
  }

  /** Of the service that the host names, or of all. @throws Problem */
  health(host = ""): EdgeHealth {
    const services = nameIn(host) === undefined ? this.services : [this.find(host)];
    const states = services.map(({ state }) => state);
    const serves = (state: ServiceState) => state === "ready" || state === "asleep";
    const cannot = (state: ServiceState) => state === "failing" || state === "starting" || state === "closed";
    const status = states.every(serves) ? "ok" : states.every(cannot) ? "unavailable" : "degraded";
    return { status, services: services.map((service) => service.health()) };
  }
}

/** `web` of `Web.localhost:8080`. */
function nameIn(host: string): string | undefined {
  const name = host.replace(/:\d*$/, "").replace(/\.$/, "").toLowerCase();
  return name.endsWith(SUFFIX) ? name.slice(0, -SUFFIX.length) : undefined;
}
