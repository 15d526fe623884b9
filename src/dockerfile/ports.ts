import { isIP } from "node:net";

/** Reads `80`, `80-82/udp`, `8080:80` and `127.0.0.1:8080:80/tcp` as EXPOSE takes them: the image's ports, each as `80/tcp`. @throws Error */
export function parsePorts(text: string): string[] {
  const [container = "", ...outer] = text.split(":").toReversed();
  const [range = "", protocol = "tcp", ...more] = container.toLowerCase().split("/");
  if (more.length > 0 || !["", "tcp", "udp", "sctp"].includes(protocol)) {
    throw new Error(`${JSON.stringify(container)} has no protocol such as tcp, udp or sctp`);
  }
  const ports = parseRange(range);
  checkHost(outer, ports);
  const count = ports.to - ports.from + 1;
  return Array.from({ length: count }, (_, index) => `${ports.from + index}/${protocol || "tcp"}`);
}

/** What is before the image's port says nothing to an image; it must make sense all the same. */
function checkHost([port, ...address]: string[], ports: Range): void {
  if (port === undefined) return;
  if (port !== "") {
    const host = parseRange(port);
    const isSameLength = host.to - host.from === ports.to - ports.from;
    if (!isSameLength && ports.to !== ports.from) throw new Error("the two ranges of ports are not of the same length");
  }
  const ip = address
    .toReversed()
    .join(":")
    .replace(/^\[(.*)\]$/, "$1");
  if (ip !== "" && isIP(ip) === 0) throw new Error(`${JSON.stringify(ip)} is no IP address`);
}

interface Range {
  from: number;
  to: number;
}

function parseRange(text: string): Range {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  const from = Number(match?.[1]);
  const to = Number(match?.[2] ?? match?.[1]);
  if (match !== null && from <= to && to <= 65_535) return { from, to };
  throw new Error(`${JSON.stringify(text)} is no port from 0 to 65535, nor a range such as 8000-8009`);
}
