import { readFile } from "node:fs/promises";
import * as v from "valibot";
import { UsageError } from "../../errors.js";
import type { Credentials } from "./credentials.js";

const entry = v.looseObject({
  auth: v.nullish(v.string()),
  username: v.nullish(v.string()),
  password: v.nullish(v.string()),
  identitytoken: v.nullish(v.string()),
});

const file = v.object({
  auths: v.nullish(v.record(v.string(), v.nullish(entry))),
  credHelpers: v.nullish(v.record(v.string(), v.string())),
  credsStore: v.nullish(v.string()),
});

/** What is of use in docker's `config.json` or podman's `auth.json`. */
export interface CredentialFile {
  auths: ReadonlyMap<string, Credentials>;
  /** Names of helpers by registry. */
  credHelpers: ReadonlyMap<string, string>;
  /** Name of the helper for all other registries. */
  credsStore: string | undefined;
}

/** @throws UsageError, which never shows what is in the file */
export async function readCredentialFile(path: string): Promise<CredentialFile | undefined> {
  const text = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT" || cause.code === "ENOTDIR") return undefined;
    throw new UsageError(`the credentials in ${path} cannot be read: ${cause.code}`, { cause });
  });
  if (text === undefined) return undefined;
  const parsed = v.safeParse(file, decode(text), { abortEarly: true });
  if (!parsed.success) {
    throw new UsageError(`${path} is not a file of registry credentials as docker or podman write it`, {
      hint: "Mend it, or log in again with docker login or podman login.",
    });
  }
  const { auths, credHelpers, credsStore } = parsed.output;
  const known = Object.entries(auths ?? {}).map(([key, value]) => [key, credentialsOf(value ?? {})] as const);
  return {
    auths: new Map(known.filter((pair): pair is [string, Credentials] => pair[1] !== undefined)),
    credHelpers: new Map(Object.entries(credHelpers ?? {})),
    credsStore: credsStore || undefined,
  };
}

/** The parser's own error quotes the text around the mistake, which may be a password. */
function decode(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Docker leaves an empty entry for a registry whose credentials a helper keeps. */
function credentialsOf({ auth, username, password, identitytoken }: v.InferOutput<typeof entry>) {
  if (identitytoken) return { identityToken: identitytoken };
  if (username && password) return { username, password };
  const decoded = Buffer.from(auth ?? "", "base64")
    .toString("utf8")
    .replace(/\0+$/, "");
  const colon = decoded.indexOf(":");
  return colon > 0 ? { username: decoded.slice(0, colon), password: decoded.slice(colon + 1) } : undefined;
}
