import type { SecureContext } from "node:tls";

/** A certificate for clients to check. */
export interface TlsFiles {
  cert: string | Buffer;
  key: string | Buffer;
  /** Another certificate for another name that a client asks for. */
  forName?: (name: string) => Promise<SecureContext | undefined>;
}
