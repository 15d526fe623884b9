import { connect } from "node:net";

/** The agent's protocol: draft-ietf-sshm-ssh-agent, section "Message numbers". */
const FAILURE = Buffer.from([5]);
const REQUEST_IDENTITIES = 11;
const SIGN_REQUEST = 13;
/** OpenSSH's own bound. */
const MOST_BYTES = 256 * 1024;
/** A key may ask its owner to touch it or to confirm. */
const TIMEOUT_MS = 120_000;

/**
 * Asks an ssh-agent of this machine what a command of a build wants to know: which keys there are, and to sign with one. Everything else, such
 * as adding, removing or locking keys, is refused without asking.
 */
export async function relayRequest(socket: string, message: Buffer): Promise<Buffer> {
  if (message[0] !== REQUEST_IDENTITIES && message[0] !== SIGN_REQUEST) return FAILURE;
  try {
    return await ask(socket, message);
  } catch {
    // As an agent that cannot; why is this machine's affair.
    return FAILURE;
  }
}

function ask(path: string, message: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let answer = Buffer.alloc(0);
    const end = (error?: Error): void => {
      socket.destroy();
      if (error) reject(error);
      else resolve(answer.subarray(4));
    };
    socket.setTimeout(TIMEOUT_MS, () => end(new Error("the agent did not answer in time")));
    socket.on("error", end);
    socket.on("close", () => reject(new Error("the agent has closed the connection")));
    socket.on("data", (bytes: Buffer) => {
      answer = Buffer.concat([answer, bytes]);
      if (answer.length < 4) return;
      const length = answer.readUInt32BE();
      if (length === 0 || length > MOST_BYTES || answer.length > 4 + length) end(new Error("no answer of an agent"));
      else if (answer.length === 4 + length) end();
    });
    const header = Buffer.allocUnsafe(4);
    header.writeUInt32BE(message.length);
    socket.write(Buffer.concat([header, message]));
  });
}
