import dgram from "node:dgram";
import { once } from "node:events";
import net, { isIPv6 } from "node:net";
import { NetworkError } from "../errors.js";
import type { GuestDatagrams, GuestNetwork } from "../guest/index.js";
import { checkPort, connectToPort } from "./guest-port.js";
import { relay } from "./relay.js";

const CONNECTIONS_MAX = 1_024;
const PEERS_MAX = 1_024;
const PEER_IDLE_MS = 60_000;
const LOOPBACK = "127.0.0.1";

/** Which port of the guest is reached where on the host. */
export interface ExposeOptions {
  /** The port in the guest. */
  guestPort: number;
  /** The port on the host; 0 (default) picks a free one. */
  hostPort?: number | undefined;
  /** The address on the host that is listened on; 127.0.0.1 by default, so that only this host can connect. */
  host?: string | undefined;
}

/** A port of the guest that is reached on the host, until it is closed or the VM ends. */
export interface ExposedPort extends AsyncDisposable {
  readonly protocol: "tcp" | "udp";
  /** Where it is reached. */
  readonly host: string;
  readonly hostPort: number;
  readonly guestPort: number;
  /** Resolves when it has been closed. */
  readonly closed: Promise<void>;
  /** Ends it with all its connections. */
  close(): Promise<void>;
}

/** Listens on the host, and connects whoever comes to the guest's port; somebody whom the guest refuses is reset. */
export async function exposeTcp(network: GuestNetwork, options: ExposeOptions): Promise<ExposedPort> {
  const { guestPort, hostPort, host } = checked(options);
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket)).on("error", () => undefined);
    connectToPort(network, guestPort).then(
      (guest) => relay(guest, socket),
      () => socket.resetAndDestroy(),
    );
  });
  server.maxConnections = CONNECTIONS_MAX;
  await listening(server, () => server.listen(hostPort, host), { host, hostPort });
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    if (!server.listening) return;
    server.close();
    await once(server, "close");
  };
  const { port } = server.address() as net.AddressInfo;
  return exposed("tcp", { host, hostPort: port, guestPort }, close);
}

/** The same for UDP: each sender on the host has a socket of its own in the guest, until nothing has come for a minute. */
export async function exposeUdp(network: GuestNetwork, options: ExposeOptions): Promise<ExposedPort> {
  const { guestPort, hostPort, host } = checked(options);
  const socket = dgram.createSocket(isIPv6(host) ? "udp6" : "udp4");
  const peers = new Peers(network, guestPort, (content, peer) => socket.send(content, peer.port, peer.address));
  socket.on("message", (content, peer) => peers.send(content, peer));
  await listening(socket, () => socket.bind(hostPort, host), { host, hostPort });
  socket.on("error", () => undefined);
  let open = true;
  const close = async (): Promise<void> => {
    peers.close();
    if (!open) return;
    open = false;
    socket.close();
    await once(socket, "close");
  };
  return exposed("udp", { host, hostPort: socket.address().port, guestPort }, close);
}

interface Peer {
  datagrams: GuestDatagrams;
  idle: NodeJS.Timeout;
}

/** Who sends to an exposed UDP port. */
class Peers {
  readonly #network: GuestNetwork;
  readonly #guestPort: number;
  readonly #reply: (content: Buffer, to: dgram.RemoteInfo) => void;
  readonly #peers = new Map<string, Peer>();

  constructor(network: GuestNetwork, guestPort: number, reply: (content: Buffer, to: dgram.RemoteInfo) => void) {
    this.#network = network;
    this.#guestPort = guestPort;
    this.#reply = reply;
  }

  send(content: Buffer, from: dgram.RemoteInfo): void {
    const key = `${from.address} ${from.port}`;
    const peer = this.#peers.get(key) ?? this.#add(key, from);
    // The one that is used last is given up last.
    this.#peers.delete(key);
    this.#peers.set(key, peer);
    peer.idle.refresh();
    peer.datagrams.send(content);
  }

  close(): void {
    for (const { datagrams } of [...this.#peers.values()]) datagrams.close();
  }

  #add(key: string, from: dgram.RemoteInfo): Peer {
    const [oldest] = this.#peers.size >= PEERS_MAX ? this.#peers.values() : [];
    oldest?.datagrams.close();
    const over = (): void => {
      clearTimeout(this.#peers.get(key)?.idle);
      this.#peers.delete(key);
    };
    const to = { address: LOOPBACK, port: this.#guestPort };
    const datagram = (content: Buffer): void => {
      peer.idle.refresh();
      this.#reply(content, from);
    };
    const datagrams = this.#network.connectUdp(to, { datagram, over });
    const peer: Peer = { datagrams, idle: setTimeout(() => datagrams.close(), PEER_IDLE_MS).unref() };
    this.#peers.set(key, peer);
    return peer;
  }
}

function checked({ guestPort, hostPort = 0, host = LOOPBACK }: ExposeOptions): Required<ExposeOptions> & {
  hostPort: number;
  host: string;
} {
  checkPort("guestPort", guestPort);
  checkPort("hostPort", hostPort, 0);
  return { guestPort, hostPort, host };
}

async function listening(
  server: net.Server | dgram.Socket,
  start: () => void,
  { host, hostPort }: { host: string; hostPort: number },
): Promise<void> {
  try {
    const started = once(server, "listening");
    start();
    await started;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new NetworkError(`the host's port ${hostPort} at ${host} cannot be listened on: ${code ?? String(cause)}`, {
      cause,
      hint: "Choose another hostPort, or 0 for any that is free.",
    });
  }
}

function exposed(
  protocol: "tcp" | "udp",
  where: Pick<ExposedPort, "host" | "hostPort" | "guestPort">,
  close: () => Promise<void>,
): ExposedPort {
  let ended = (): void => undefined;
  const closed = new Promise<void>((resolve) => {
    ended = resolve;
  });
  const end = (): Promise<void> => close().finally(ended);
  return { protocol, ...where, closed, close: end, [Symbol.asyncDispose]: end };
}
