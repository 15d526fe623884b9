import { readFile, stat } from "node:fs/promises";
import { UsageError } from "../../errors.js";

/** Where a secret of a build comes from: a file, a variable of this process's environment, or the value itself. */
export type SecretSource = { file: string } | { env: string } | { value: string | Uint8Array };

/** BuildKit's bound. */
const MOST_BYTES = 500 * 1024;

/**
 * Parses `id=NAME[,src=FILE|,env=VARIABLE]`. With a name alone it is the variable of that name or, when there is none, the file, as docker has it.
 * @throws UsageError
 */
export function parseSecret(text: string, env: NodeJS.ProcessEnv = process.env): { id: string; source: SecretSource } {
  const fields = new Map<string, string>();
  for (const field of text.split(",")) {
    const at = field.indexOf("=");
    const written = field.slice(0, Math.max(at, 0)).trim().toLowerCase();
    const name = written === "source" ? "src" : written;
    if (at < 0 || !["id", "src", "env", "type"].includes(name)) throw malformed(text);
    fields.set(name, field.slice(at + 1));
  }
  const [id, file, variable, type] = [fields.get("id"), fields.get("src"), fields.get("env"), fields.get("type")];
  if (!id || (type !== undefined && type !== "file" && type !== "env")) throw malformed(text);
  if (file !== undefined && variable !== undefined) throw malformed(text);
  if (variable !== undefined) return { id, source: { env: variable } };
  if (file !== undefined) return { id, source: type === "env" ? { env: file } : { file } };
  const isVariable = type === "env" || (type === undefined && env[id] !== undefined);
  return { id, source: isVariable ? { env: id } : { file: id } };
}

/** Reads a secret's value. What goes wrong is told without it. @throws UsageError */
export async function readSecret(id: string, source: SecretSource): Promise<Buffer> {
  const bytes = await bytesOf(id, source);
  if (bytes.length > MOST_BYTES) throw tooLarge(id);
  return bytes;
}

async function bytesOf(id: string, source: SecretSource): Promise<Buffer> {
  if ("value" in source) return Buffer.from(source.value as string);
  if ("env" in source) {
    const text = process.env[source.env];
    if (text === undefined) throw new UsageError(`the secret ${id}: there is no variable ${source.env}`);
    return Buffer.from(text);
  }
  try {
    const stats = await stat(source.file);
    if (stats.isFile() && stats.size > MOST_BYTES) throw tooLarge(id);
    return await readFile(source.file);
  } catch (cause) {
    if (cause instanceof UsageError) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new UsageError(`the secret ${id}: ${source.file} cannot be read: ${code ?? message}`, { cause });
  }
}

function tooLarge(id: string): UsageError {
  return new UsageError(`the secret ${id} is larger than ${MOST_BYTES / 1024} KiB`);
}

function malformed(text: string): UsageError {
  return new UsageError(`${JSON.stringify(text)} is not of the form id=NAME[,src=FILE|,env=VARIABLE]`);
}
