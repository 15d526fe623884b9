import { execa } from "execa";
import * as v from "valibot";
import type { FoundCredentials } from "./credentials.js";

const TIMEOUT_MS = 30_000;
const MAX_OUTPUT_CHARACTERS = 1024 * 1024;
/** The helper's name is a part of a program's name, and nothing more. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
/** Helpers say so when they have nothing for a server. */
const NOT_FOUND = /credentials not found/i;
const IDENTITY_TOKEN_USER = "<token>";

const answer = v.object({ Username: v.string(), Secret: v.pipe(v.string(), v.nonEmpty()) });

/**
 * Asks `docker-credential-NAME get` for the credentials of a server (docker-credential-helpers' protocol). A helper that
 * fails is a problem to be told of only if the registry wants credentials: public images need none.
 */
export async function askHelper(
  name: string,
  server: string,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal | undefined,
): Promise<FoundCredentials> {
  const program = `docker-credential-${name}`;
  if (!NAME.test(name)) return { problem: "The name of a credential helper in docker's configuration is not valid." };
  const result = await execa(program, ["get"], {
    input: server,
    env,
    extendEnv: false,
    timeout: TIMEOUT_MS,
    maxBuffer: MAX_OUTPUT_CHARACTERS,
    reject: false,
    ...(signal === undefined ? {} : { cancelSignal: signal }),
  });
  signal?.throwIfAborted();
  if (result.failed) {
    if (NOT_FOUND.test(`${result.stdout}\n${result.stderr}`)) return {};
    // What it printed is not shown: it may hold a secret.
    return { problem: `The credential helper ${program} failed: ${describe(result)}.` };
  }
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), answer), result.stdout);
  if (!parsed.success) return { problem: `The credential helper ${program} gave no credentials that can be read.` };
  const { Username: username, Secret: secret } = parsed.output;
  if (username === IDENTITY_TOKEN_USER) return { credentials: { identityToken: secret } };
  return username === "" ? {} : { credentials: { username, password: secret } };
}

function describe(result: { timedOut: boolean; exitCode?: number | undefined; code?: string | undefined }): string {
  if (result.timedOut) return "it did not answer in time";
  if (result.code === "ENOENT") return "it is not installed";
  return result.exitCode === undefined ? "it could not be run" : `it ended with ${result.exitCode}`;
}
