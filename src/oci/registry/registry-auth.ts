import { UsageError } from "../../errors.js";

/** User name and password (or access token), for one registry. */
export interface RegistryAuth {
  username: string;
  password: string;
}

/**
 * Parses `USER:PASS`, where the password may have colons.
 * @throws UsageError, which does not show the text
 */
export function parseRegistryAuth(text: string): RegistryAuth {
  const colon = text.indexOf(":");
  return checkRegistryAuth({ username: text.slice(0, Math.max(colon, 0)), password: text.slice(colon + 1) });
}

/** @throws UsageError when either half is missing */
export function checkRegistryAuth({ username, password }: RegistryAuth): RegistryAuth {
  // A colon would shift what comes after it into the password (RFC 7617, section 2).
  if (username !== "" && password !== "" && !username.includes(":")) return { username, password };
  throw new UsageError("registryAuth needs a user name without a colon, and a password");
}
