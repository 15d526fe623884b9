import { Malformed } from "../malformed.js";

/** The longest name Linux accepts in a directory. */
const MAX_COMPONENT = 255;

/**
 * The components of a path in a layer, without "." and empty ones, so that "./a", "/a" and "a/" are the same.
 * A path with ".." is refused, wherever it would lead: no tool that makes images writes one.
 */
export function splitPath(path: string): string[] {
  const components: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..")
      throw new Malformed('its path contains ".."', "An image must not name files outside of its root.");
    if (part.length > MAX_COMPONENT)
      throw new Malformed(`its name has a component of more than ${MAX_COMPONENT} bytes`);
    components.push(part);
  }
  return components;
}
