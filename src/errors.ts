import type { PoolStats } from "./pool/index.js";

/** Extra facts an error can carry. */
export interface ErrorDetails {
  /** What made this fail. */
  cause?: unknown;
  /** What the user can do next, as one sentence. It is appended to the message. */
  hint?: string;
}

/**
 * The base of every error that this library throws on purpose. `code` is stable across releases; the message says what
 * failed, on what, and (from `hint`) what to do next.
 */
export class SupermachineError extends Error {
  readonly code: string;
  readonly hint: string | undefined;

  constructor(code: string, message: string, details: ErrorDetails = {}) {
    const text = details.hint === undefined ? message : `${message}\n  ${details.hint}`;
    super(text, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.code = code;
    this.hint = details.hint;
  }

  /** Holds for errors of another copy of this package too, which `instanceof` does not. */
  static is(error: unknown): error is SupermachineError {
    return error instanceof Error && "code" in error && String(error.code).startsWith("ERR_SUPERMACHINE_");
  }
}

/** An image that cannot be read or used: bad reference, malformed document, wrong digest, wrong architecture. */
export class ImageError extends SupermachineError {
  constructor(message: string, details: ErrorDetails & { code?: string } = {}) {
    super(details.code ?? "ERR_SUPERMACHINE_IMAGE", message, details);
  }
}

/** The image, tag or snapshot that was named does not exist. */
export class ImageNotFoundError extends ImageError {
  constructor(message: string, details: ErrorDetails = {}) {
    super(message, { ...details, code: "ERR_SUPERMACHINE_IMAGE_NOT_FOUND" });
  }
}

/** A registry wants credentials, or refuses the ones it was given. Neither message nor `cause` holds a secret. */
export class RegistryAuthError extends ImageError {
  constructor(message: string, details: ErrorDetails = {}) {
    super(message, { ...details, code: "ERR_SUPERMACHINE_REGISTRY_AUTH" });
  }
}

/** A running microVM failed, ended unexpectedly or did not answer. */
export class VmError extends SupermachineError {
  constructor(message: string, details: ErrorDetails = {}) {
    super("ERR_SUPERMACHINE_VM", message, details);
  }
}

/** QEMU, the guest kernel, the agent or the accelerator is missing or unusable. `supermachine setup` mends most of it. */
export class AssetsError extends SupermachineError {
  constructor(message: string, details: ErrorDetails = {}) {
    super("ERR_SUPERMACHINE_ASSETS", message, details);
  }
}

/** Something that had to be in a local store is not there. */
export class CacheMissError extends SupermachineError {
  constructor(message: string, details: ErrorDetails = {}) {
    super("ERR_SUPERMACHINE_CACHE_MISS", message, details);
  }
}

/** Something in a local store is truncated, corrupt, or made for another engine than the one in use. */
export class CacheInvalidError extends SupermachineError {
  constructor(message: string, details: ErrorDetails = {}) {
    super("ERR_SUPERMACHINE_CACHE_INVALID", message, details);
  }
}

/** An image could be read but not baked into a snapshot. */
export class BakeError extends SupermachineError {
  constructor(message: string, details: ErrorDetails = {}) {
    super("ERR_SUPERMACHINE_BAKE", message, details);
  }
}

/** What an instruction of a Dockerfile did not manage. */
export interface BuildFailure {
  file: string;
  line: number;
  /** From 1, of its first character. */
  column: number;
  /** The instruction as it is written. */
  instruction: string;
  /** Of a command that ended with another code than 0. */
  exitCode?: number | undefined;
  /** The last of what the command wrote. */
  output?: string | undefined;
}

/** An instruction of a Dockerfile failed. What was built before it is kept, and the next build goes on from there. */
export class BuildError extends SupermachineError {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly instruction: string;
  readonly exitCode: number | undefined;
  readonly output: string | undefined;

  constructor(message: string, details: ErrorDetails & BuildFailure) {
    super("ERR_SUPERMACHINE_BUILD", message, details);
    this.file = details.file;
    this.line = details.line;
    this.column = details.column;
    this.instruction = details.instruction;
    this.exitCode = details.exitCode;
    this.output = details.output;
  }
}

/** A command ran longer than its `timeoutMs`; it was killed. The output so far is on the error. */
export class ExecTimeoutError extends SupermachineError {
  readonly stdout: string;
  readonly stderr: string;

  constructor(message: string, details: ErrorDetails & { stdout?: string; stderr?: string } = {}) {
    super("ERR_SUPERMACHINE_EXEC_TIMEOUT", message, details);
    this.stdout = details.stdout ?? "";
    this.stderr = details.stderr ?? "";
  }
}

/** Reading or writing a file in the guest failed. `errno` is the guest's, such as `ENOENT`. */
export class GuestFileError extends SupermachineError {
  readonly errno: string;
  readonly path: string;

  constructor(message: string, details: ErrorDetails & { errno: string; path: string }) {
    super("ERR_SUPERMACHINE_GUEST_FILE", message, details);
    this.errno = details.errno;
    this.path = details.path;
  }
}

/** Files could not be copied into or out of a guest because of those on this machine: `path` is what cannot be read, written or made. */
export class CopyError extends SupermachineError {
  readonly path: string;

  constructor(message: string, details: ErrorDetails & { path: string }) {
    super("ERR_SUPERMACHINE_COPY", message, details);
    this.path = details.path;
  }
}

/** A disk is full. Nothing half-written stays; once there is space, the same works. `path` is what there was no space for. */
export class NoSpaceError extends SupermachineError {
  readonly path: string;

  constructor(message: string, details: ErrorDetails & { path: string }) {
    super("ERR_SUPERMACHINE_NO_SPACE", message, details);
    this.path = details.path;
  }
}

/** A pool had nothing to give in time; `stats` are its figures at that moment. */
export class PoolExhaustedError extends SupermachineError {
  readonly stats: PoolStats;

  constructor(message: string, details: ErrorDetails & { stats: PoolStats }) {
    super("ERR_SUPERMACHINE_POOL_EXHAUSTED", message, details);
    this.stats = details.stats;
  }
}

/** A pool was used after it was closed, or closed while a caller waited. */
export class PoolClosedError extends SupermachineError {
  constructor(message: string, details: ErrorDetails = {}) {
    super("ERR_SUPERMACHINE_POOL_CLOSED", message, details);
  }
}

/**
 * A Dockerfile is wrong: it cannot be parsed, names a variable wrongly, or its stages do not fit together. `file`, `line` and `column` (both
 * from 1) say where; the message shows the line.
 */
export class DockerfileError extends SupermachineError {
  readonly file: string;
  readonly line: number;
  readonly column: number;

  constructor(message: string, details: ErrorDetails & { file: string; line: number; column: number }) {
    super("ERR_SUPERMACHINE_DOCKERFILE", message, details);
    this.file = details.file;
    this.line = details.line;
    this.column = details.column;
  }
}

/** The caller's options or arguments are wrong. */
export class UsageError extends SupermachineError {
  constructor(message: string, details: ErrorDetails = {}) {
    super("ERR_SUPERMACHINE_USAGE", message, details);
  }
}

/** Something on the network could not be reached or broke off. */
export class NetworkError extends SupermachineError {
  constructor(message: string, details: ErrorDetails & { code?: string } = {}) {
    super(details.code ?? "ERR_SUPERMACHINE_NETWORK", message, details);
  }
}

/** A registry cannot be connected to, is not trusted, breaks off, or goes on to answer that it cannot serve now. */
export class RegistryUnreachableError extends NetworkError {
  constructor(message: string, details: ErrorDetails = {}) {
    super(message, { ...details, code: "ERR_SUPERMACHINE_REGISTRY_UNREACHABLE" });
  }
}
