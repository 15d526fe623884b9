import { isIP } from "node:net";
import { UsageError } from "../errors.js";
import type { ExposeOptions } from "./expose.js";
import { checkPort } from "./guest-port.js";
import { checkPolicy, type EgressPolicy } from "./policy.js";

/** A port that is reachable on the host from a VM's start on. */
export interface PublishOptions extends ExposeOptions {
  /** TCP by default. */
  protocol?: "tcp" | "udp" | undefined;
}

/** Reads `deny_private`, `allowlist:ENTRY,...` or `denylist:ENTRY,...`; the latter denies what is public. @throws UsageError */
export function parseEgressPolicy(text: string): EgressPolicy {
  if (text === "deny_private") return "public";
  const [, kind, list = ""] = /^(allowlist|denylist):(.+)$/s.exec(text) ?? [];
  const entries = list.split(",").map((entry) => entry.trim());
  if (kind === "allowlist") return checkPolicy({ allow: entries });
  if (kind === "denylist") return checkPolicy({ deny: entries });
  throw new UsageError(`${JSON.stringify(text)} is no policy`, {
    hint: "There are deny_private, allowlist:LIST and denylist:LIST, such as allowlist:pypi.org,*.pythonhosted.org:443.",
  });
}

/** Reads `[[HOST:]PORT:]GUEST[/udp]`; an IPv6 HOST is in brackets, PORT 0 or none is any that is free. @throws UsageError */
export function parsePublish(text: string): PublishOptions {
  const match = /^(?:(?:(?:\[([^\]]+)\]|([^:[\]]+)):)?(\d{1,5}):)?(\d{1,5})(?:\/(tcp|udp))?$/.exec(text);
  const [, six, four, hostPort = "0", guestPort = "0", protocol = "tcp"] = match ?? [];
  const host = six ?? four;
  if (!match || (host !== undefined && isIP(host) === 0)) {
    throw new UsageError(`${JSON.stringify(text)} is no port to publish`, {
      hint: "It is [[HOST:]PORT:]GUEST[/udp] with a numeric HOST, such as 8080:80 or 0.0.0.0:5353:53/udp.",
    });
  }
  checkPort("the port in the guest", Number(guestPort));
  checkPort("the port on the host", Number(hostPort), 0);
  const ports = { guestPort: Number(guestPort), hostPort: Number(hostPort) };
  return { ...ports, protocol: protocol as "tcp" | "udp", ...(host !== undefined && { host }) };
}
