/** How long to wait for a registry, and how often to try. */
export interface NetworkLimits {
  /** Milliseconds to connect, TLS included. */
  connectMs: number;
  /** Milliseconds without a byte before a request counts as broken. */
  stallMs: number;
  /** Tries of one request. A download that broke off starts counting anew when it got on. */
  attempts: number;
  /** Milliseconds before the second try; doubled for each further one. */
  backoffMs: number;
  /** The longest wait between two tries in milliseconds, whatever the registry's `Retry-After` asks for. */
  longestWaitMs: number;
}

/** With these a registry that goes on failing is given up after some eight seconds, unless it asks for longer waits. */
export const DEFAULT_LIMITS: NetworkLimits = {
  connectMs: 10_000,
  stallMs: 30_000,
  attempts: 6,
  backoffMs: 250,
  longestWaitMs: 30_000,
};
