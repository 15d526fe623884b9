import { parseBytes, parseNumber } from "./numbers.js";
import { nearest } from "./suggest.js";
import { hasVariable } from "./variables.js";

/** What `RUN --mount` asks for, with its variables expanded and docker's defaults filled in. */
export type Mount = BindMount | CacheMount | TmpfsMount | SecretMount | SshMount;

interface Owned {
  /** Permission bits. `undefined` is the type's default: 0755 for a cache's folder, 0400 for a secret, 0600 for a socket. */
  mode: number | undefined;
  uid: number | undefined;
  gid: number | undefined;
}

/** Files of the context, or of a stage, an image or a named context. What is written there is gone after the command. */
export interface BindMount {
  type: "bind";
  from: string | undefined;
  source: string;
  target: string;
  readOnly: boolean;
}

/** A folder that persists from build to build, and that no layer has. */
export interface CacheMount extends Owned {
  type: "cache";
  /** The target when none is given. */
  id: string;
  target: string;
  readOnly: boolean;
  sharing: "shared" | "private" | "locked";
  /** What a new cache begins with. */
  from: string | undefined;
  source: string;
}

export interface TmpfsMount {
  type: "tmpfs";
  target: string;
  /** Bytes; `undefined` for as many as there are. */
  size: number | undefined;
}

export interface SecretMount extends Owned {
  type: "secret";
  id: string;
  /** Where its file is; `undefined` when it is only a variable. */
  target: string | undefined;
  /** The variable that has it. */
  env: string | undefined;
  required: boolean;
}

export interface SshMount extends Owned {
  type: "ssh";
  id: string;
  /** Where the agent's socket is; `undefined` for `/run/buildkit/ssh_agent.N`. */
  target: string | undefined;
  required: boolean;
}

/** What is wrong with a mount; whoever knows its place says where. */
export class MountError extends Error {
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

const TYPES = ["bind", "cache", "tmpfs", "secret", "ssh"] as const;
const SHARING = ["shared", "private", "locked"] as const;
type MountType = (typeof TYPES)[number];

/** Each option's names, and the types that have it. */
const OPTIONS: Readonly<Record<string, { names: readonly string[]; types: readonly MountType[] }>> = {
  from: { names: ["from"], types: ["bind", "cache"] },
  source: { names: ["source", "src"], types: ["bind", "cache", "secret"] },
  target: { names: ["target", "dst", "destination"], types: TYPES },
  readOnly: { names: ["readonly", "ro"], types: ["bind", "cache", "tmpfs", "secret", "ssh"] },
  readWrite: { names: ["readwrite", "rw"], types: ["bind", "cache", "tmpfs", "secret", "ssh"] },
  id: { names: ["id"], types: ["cache", "secret", "ssh"] },
  sharing: { names: ["sharing"], types: ["cache"] },
  required: { names: ["required"], types: ["secret", "ssh"] },
  size: { names: ["size"], types: ["tmpfs"] },
  mode: { names: ["mode"], types: ["cache", "secret", "ssh"] },
  uid: { names: ["uid"], types: ["cache", "secret", "ssh"] },
  gid: { names: ["gid"], types: ["cache", "secret", "ssh"] },
  env: { names: ["env"], types: ["secret"] },
};
const MAY_STAND_ALONE = ["readOnly", "readWrite", "required"];

/** The stage, image or context that a mount takes its files from, read before its variables are known. @throws MountError */
export function mountSource(text: string): string | undefined {
  const field = splitFields(text).find((each) => /^from=/i.test(each));
  const from = field?.slice("from=".length);
  if (from !== undefined && hasVariable(from)) {
    throw new MountError(
      "variables are not expanded in from=",
      "Give the image a name with FROM IMAGE AS NAME, where they are.",
    );
  }
  return from || undefined;
}

/**
 * Parses the value of `RUN --mount`.
 * @param expand expands variables in a value
 * @throws MountError
 */
export function parseMount(text: string, expand: (value: string) => string): Mount {
  const values = readOptions(text, expand);
  const type = choice("type", values.get("type") ?? "bind", TYPES);
  values.delete("type");
  for (const name of values.keys()) {
    if (!OPTIONS[name]?.types.includes(type))
      throw new MountError(`a ${type} mount has no option ${name.toLowerCase()}`);
  }
  if (type === "bind") return bindMount(values);
  if (type === "cache") return cacheMount(values);
  if (type === "tmpfs") return { type, target: needTarget(type, values), size: bytes(values.get("size")) };
  return type === "secret" ? secretMount(values) : sshMount(values);
}

function bindMount(values: Map<string, string>): BindMount {
  const target = needTarget("bind", values);
  return {
    type: "bind",
    from: from(values),
    source: values.get("source") ?? "/",
    target,
    readOnly: readOnly(values, true),
  };
}

function cacheMount(values: Map<string, string>): CacheMount {
  const target = needTarget("cache", values);
  return {
    type: "cache",
    id: values.get("id") || target,
    target,
    readOnly: readOnly(values, false),
    sharing: choice("sharing", values.get("sharing") ?? "shared", SHARING),
    from: from(values),
    source: values.get("source") ?? "/",
    ...owned(values),
  };
}

function secretMount(values: Map<string, string>): SecretMount {
  const [id, source, target] = [values.get("id"), values.get("source"), values.get("target")];
  if (id && source) throw new MountError("a secret mount has an id or a source, which are the same");
  const name = id || source || target?.split("/").at(-1);
  if (!name) throw new MountError("a secret mount needs an id", "Write --mount=type=secret,id=NAME.");
  const env = values.get("env") || undefined;
  return {
    type: "secret",
    id: name,
    // With a variable there is a file only when one is asked for.
    target: target || (env === undefined ? `/run/secrets/${name.split("/").at(-1)}` : undefined),
    env,
    required: boolean("required", values.get("required")) ?? false,
    ...owned(values),
  };
}

function sshMount(values: Map<string, string>): SshMount {
  return {
    type: "ssh",
    id: values.get("id") || "default",
    target: values.get("target") || undefined,
    required: boolean("required", values.get("required")) ?? false,
    ...owned(values),
  };
}

/** The options by their first names. A later one replaces an earlier one. */
function readOptions(text: string, expand: (value: string) => string): Map<string, string> {
  const values = new Map<string, string>();
  for (const field of splitFields(text)) {
    const at = field.indexOf("=");
    const written = (at < 0 ? field : field.slice(0, at)).toLowerCase();
    const name =
      written === "type" ? written : Object.keys(OPTIONS).find((key) => OPTIONS[key]?.names.includes(written));
    if (name === undefined) throw unknownOption(written, field);
    if (at < 0 && !MAY_STAND_ALONE.includes(name))
      throw new MountError(`${JSON.stringify(field)} is not of the form KEY=VALUE`);
    values.set(name, at < 0 ? "true" : expand(field.slice(at + 1)));
  }
  return values;
}

function unknownOption(name: string, field: string): MountError {
  const near = nearest(name, ["type", ...Object.values(OPTIONS).flatMap((option) => option.names)]);
  return new MountError(`${JSON.stringify(field)} is no option of a mount`, near && `Did you mean ${near}?`);
}

/** One record of RFC 4180: commas separate, and a field may be quoted. */
function splitFields(text: string): string[] {
  const fields: string[] = [];
  let at = 0;
  while (at <= text.length) {
    const quoted = /"((?:[^"]|"")*)"(?=,|$)/y;
    quoted.lastIndex = at;
    const match = quoted.exec(text);
    const end = match === null ? text.indexOf(",", at) : quoted.lastIndex;
    const field = match === null ? text.slice(at, end < 0 ? undefined : end) : (match[1] ?? "").replace(/""/g, '"');
    if (match === null && field.includes('"'))
      throw new MountError(`${JSON.stringify(text)} has a quote in the middle of a field`);
    fields.push(field);
    at = end < 0 ? text.length + 1 : end + 1;
  }
  return fields;
}

function needTarget(type: MountType, values: Map<string, string>): string {
  const target = values.get("target");
  if (target) return target;
  throw new MountError(`a ${type} mount needs a target`, `Write --mount=type=${type},target=/PATH.`);
}

function from(values: Map<string, string>): string | undefined {
  return values.get("from") || undefined;
}

function readOnly(values: Map<string, string>, byDefault: boolean): boolean {
  const readOnlyValue = boolean("readonly", values.get("readOnly"));
  const readWriteValue = boolean("readwrite", values.get("readWrite"));
  if (readWriteValue !== undefined) return !readWriteValue;
  return readOnlyValue ?? byDefault;
}

function owned(values: Map<string, string>): Owned {
  return {
    mode: number("mode", values.get("mode"), 8),
    uid: number("uid", values.get("uid"), 10),
    gid: number("gid", values.get("gid"), 10),
  };
}

function number(name: string, text: string | undefined, base: 8 | 10): number | undefined {
  if (text === undefined) return undefined;
  const value = parseNumber(text, base);
  if (value !== undefined) return value;
  throw new MountError(`${JSON.stringify(text)} is no ${name}`);
}

function bytes(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = parseBytes(text);
  if (value !== undefined) return value;
  throw new MountError(`${JSON.stringify(text)} is no size`, "Write 64m or 1g.");
}

/** What Go's `strconv.ParseBool` takes. */
function boolean(name: string, text: string | undefined): boolean | undefined {
  if (text === undefined) return undefined;
  if (["1", "t", "T", "TRUE", "true", "True"].includes(text)) return true;
  if (["0", "f", "F", "FALSE", "false", "False"].includes(text)) return false;
  throw new MountError(`${name} is true or false, not ${JSON.stringify(text)}`);
}

function choice<T extends string>(name: string, text: string, choices: readonly T[]): T {
  const found = choices.find((each) => each === text.toLowerCase());
  if (found !== undefined) return found;
  const near = nearest(text, choices);
  throw new MountError(
    `${JSON.stringify(text)} is no ${name} of a mount: it is one of ${choices.join(", ")}`,
    near && `Did you mean ${near}?`,
  );
}
