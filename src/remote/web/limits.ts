/** What is asked of servers at most. */
export interface WebLimits {
  /** Milliseconds to connect, TLS included. */
  connectMs: number;
  /** Milliseconds without a byte before a request counts as broken. */
  stallMs: number;
  /** Milliseconds for one file, however steadily it comes. */
  wholeMs: number;
  /** Bytes of one file. */
  bytes: number;
  redirects: number;
  /** Tries of a request that breaks off, or that the server cannot serve just now. */
  attempts: number;
  /** Milliseconds before the second try, doubled for the next. */
  backoffMs: number;
}

export const WEB_LIMITS: WebLimits = {
  connectMs: 15_000,
  stallMs: 60_000,
  wholeMs: 3_600_000,
  bytes: 16 * 1024 ** 3,
  redirects: 10,
  attempts: 3,
  backoffMs: 500,
};
