/** One request that the edge has dealt with. */
export interface AccessEntry {
  /** When it came, as ISO 8601. */
  time: string;
  service: string;
  /** The number of the worker; absent when none was given the request. */
  worker?: number | undefined;
  client: string;
  method: string;
  /** With its query. */
  path: string;
  /** What was answered; 499 when the client had gone before. */
  status: number;
  /** Bytes of the answer's body, or of an upgraded connection to the client. */
  bytes: number;
  durationMs: number;
  /** How long of this it waited for a worker. */
  waitedMs: number;
  /** How often it was given to another worker, or again, since nothing had come of it. */
  retries: number;
  /** Why the edge answered itself, or the answer was cut off. */
  problem?: string | undefined;
}

/** Longer than any sensible path; a log is not there for storing what clients make up. */
const MAX_PATH = 2_048;

/** An entry on one line, much as web servers write it. Control characters of the client cannot disturb a terminal. */
export function formatAccess(entry: AccessEntry): string {
  const { time, service, worker, client, method, path, status, bytes, durationMs, waitedMs, retries, problem } = entry;
  const extras = [
    `${durationMs.toFixed(1)}ms`,
    ...(waitedMs >= 1 ? [`waited=${waitedMs.toFixed(1)}ms`] : []),
    ...(retries > 0 ? [`retries=${retries}`] : []),
    ...(problem === undefined ? [] : [JSON.stringify(problem)]),
  ];
  const where = worker === undefined ? service : `${service}#${worker}`;
  const line = `${time} ${where} ${client} "${method} ${path.slice(0, MAX_PATH)}" ${status} ${bytes} ${extras.join(" ")}`;
  return line.replace(/\p{Cc}/gu, " ");
}
