/**
 * What is left out of a copied tree: patterns, or a function of the path below the tree's top (with slashes) that says so. What is
 * below a folder that is left out is not looked at.
 *
 * In a pattern `*` and `?` stand for characters of one name, `**` for any number of folders. With a slash before its end it is relative to
 * the top, without one it fits a name anywhere; with a slash at its end it fits folders alone.
 */
export type Exclude = readonly string[] | ((path: string, isFolder: boolean) => boolean);

/** Makes a function of patterns. */
export function excluder(exclude: Exclude = []): (path: string, isFolder: boolean) => boolean {
  if (typeof exclude === "function") return exclude;
  const patterns = exclude.filter((pattern) => pattern !== "").map(compile);
  return (path, isFolder) => patterns.some((each) => (isFolder || !each.onlyFolders) && each.expression.test(path));
}

function compile(pattern: string): { expression: RegExp; onlyFolders: boolean } {
  const onlyFolders = pattern.endsWith("/");
  const path = pattern.replace(/\/+$/, "").replace(/^\.\//, "");
  const isRelative = path.includes("/");
  const parts = path.replace(/^\//, "").split("/");
  const text = parts.map((part, index) => {
    const isLast = index === parts.length - 1;
    if (part === "**") return isLast ? ".*" : "(?:[^/]*/)*";
    return nameExpression(part) + (isLast ? "" : "/");
  });
  return { expression: new RegExp(`^${isRelative ? "" : "(?:.*/)?"}${text.join("")}$`, "su"), onlyFolders };
}

function nameExpression(part: string): string {
  return part.replace(/[\\^$.*+?()[\]{}|/-]/g, (char) => {
    if (char === "*") return "[^/]*";
    return char === "?" ? "[^/]" : `\\${char}`;
  });
}
