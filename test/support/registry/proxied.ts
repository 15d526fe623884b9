import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import { type NetworkLimits, openImage } from "../../../src/oci/index.js";
import { Cleanup } from "./cleanup.js";
import { freshClient, IMPATIENT, type Pulled, pull } from "./client.js";
import { startRegistry } from "./docker-registry.js";
import { type FaultProxy, type Seen, startFaultProxy } from "./fault-proxy.js";
import { pushBusybox } from "./push.js";

/** Who may use the registry. */
export const USER = { username: "ada", password: "s3cret" };

/** A registry with a password and the busybox image, behind a proxy without faults; each test has an empty client. */
export class Proxied {
  proxy!: FaultProxy;
  /** The image's name at the proxy. */
  image = "";
  /** Its only layer. */
  layer = { digest: "", size: 0 };
  /** What a pull without faults gives. */
  expected!: Pulled;

  get(network: Partial<NetworkLimits> = {}): Promise<Pulled> {
    return pull(this.image, { registryAuth: USER, network: { ...IMPATIENT, ...network } });
  }

  readonly isLayer = ({ path }: Pick<Seen, "path">): boolean => path.endsWith(this.layer.digest);

  /** How many requests there were of a kind. */
  tries(of: (seen: Seen) => boolean): number {
    return this.proxy.seen.filter(of).length;
  }

  async start(cleanup: Cleanup): Promise<void> {
    const registry = cleanup.use(await startRegistry({ users: { [USER.username]: USER.password } }));
    await pushBusybox(`${registry.host}/team/busybox:1`, { credentials: `${USER.username}:${USER.password}` });
    this.proxy = cleanup.use(await startFaultProxy(registry.port));
    this.image = `${this.proxy.host}/team/busybox:1`;
    using _client = freshClient();
    this.expected = await this.get();
    await using opened = await openImage(this.image, { registryAuth: USER });
    const [layer] = opened.layers;
    if (layer === undefined) throw new Error("the image has no layer");
    this.layer = layer;
  }
}

/** Has one for all tests of a file. */
export function proxiedRegistry(): Proxied {
  const proxied = new Proxied();
  const cleanup = new Cleanup();
  let client: ReturnType<typeof freshClient>;
  beforeAll(() => proxied.start(cleanup));
  afterAll(() => cleanup.end());
  beforeEach(() => {
    client = freshClient();
    proxied.proxy.faults = [];
    proxied.proxy.seen.length = 0;
  });
  afterEach(() => client[Symbol.dispose]());
  return proxied;
}
