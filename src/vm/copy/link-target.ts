/**
 * Whether a symbolic link, in a folder so many levels below the top, leads to something below the top whatever else is there. Only what begins
 * with "../" may lead upwards: behind a name, ".." may be that of a folder elsewhere.
 */
export function staysInside(depth: number, target: string): boolean {
  if (target.startsWith("/")) return false;
  const parts = target.split("/").filter((part) => part !== "" && part !== ".");
  const upwards = parts.findIndex((part) => part !== "..");
  const count = upwards < 0 ? parts.length : upwards;
  return count <= depth && !parts.slice(count).includes("..");
}
