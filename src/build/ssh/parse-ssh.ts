import { UsageError } from "../../errors.js";

/**
 * Parses `ID[=PATH[,PATH...]]`: a socket of an ssh-agent or files of private keys; without a path the agent of `SSH_AUTH_SOCK`.
 * @throws UsageError
 */
export function parseSsh(text: string): { id: string; paths: string[] } {
  const at = text.indexOf("=");
  const id = at < 0 ? text : text.slice(0, at);
  const paths = at < 0 ? [] : text.slice(at + 1).split(",");
  if (id === "" || paths.includes("")) {
    throw new UsageError(`${JSON.stringify(text)} is not of the form default, ID=SOCKET or ID=KEYFILE[,KEYFILE...]`);
  }
  return { id, paths };
}
