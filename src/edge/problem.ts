import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";

/** Why the edge answers a request itself. */
export type ProblemCode =
  | "no_such_service"
  | "queue_full"
  | "queue_timeout"
  | "no_worker"
  | "closing"
  | "worker_failed"
  | "worker_refused"
  | "bad_answer"
  | "answer_timeout"
  | "stalled"
  | "bad_request"
  | "headers_too_large"
  | "headers_timeout";

/** What the edge answers in a worker's stead. */
export class Problem extends Error {
  readonly status: number;
  readonly code: ProblemCode;
  /** For 503: after how many seconds it is worth another try. */
  readonly retryAfter: number | undefined;

  constructor(status: number, code: ProblemCode, message: string, retryAfter?: number) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

/** Whether a request has more than its headers. */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

/** Answers with the problem: as RFC 9457 has it for who accepts JSON, else as plain text. */
export function sendProblem(request: IncomingMessage, response: ServerResponse, problem: Problem): void {
  const { type, text } = problemBody(problem, request.headers.accept);
  response.writeHead(problem.status, {
    "content-type": type,
    "content-length": Buffer.byteLength(text),
    "cache-control": "no-store",
    ...(problem.retryAfter !== undefined && { "retry-after": String(problem.retryAfter) }),
    // What has not been read of the request is not worth reading.
    ...(hasBody(request) && { connection: "close" }),
  });
  response.end(request.method === "HEAD" ? undefined : text);
}

/** The same as a whole HTTP/1.1 message, for a connection that has no response yet. */
export function rawProblem(problem: Problem, accept?: string): string {
  const { type, text } = problemBody(problem, accept);
  const retry = problem.retryAfter === undefined ? "" : `Retry-After: ${problem.retryAfter}\r\n`;
  return (
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ""}\r\nContent-Type: ${type}\r\n` +
    `Content-Length: ${Buffer.byteLength(text)}\r\n${retry}Connection: close\r\n\r\n${text}`
  );
}

function problemBody(problem: Problem, accept = ""): { type: string; text: string } {
  const { status, code, message } = problem;
  const title = STATUS_CODES[status] ?? "";
  if (/\bjson\b/.test(accept)) {
    const text = `${JSON.stringify({ type: "about:blank", title, status, code, detail: message })}\n`;
    return { type: "application/problem+json", text };
  }
  return { type: "text/plain; charset=utf-8", text: `${status} ${title}: ${message}\n` };
}
