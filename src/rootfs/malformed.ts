/** What is wrong with an archive, without saying where: the reader that knows the place turns it into an ImageError. */
export class Malformed extends Error {
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

/** A name as it may be shown in a message: printable ASCII, everything else escaped, cut at 200 characters. */
export function printable(name: string): string {
  const shown = name.length > 200 ? `${name.slice(0, 200)}...` : name;
  return shown.replace(/[^\x20-\x7e]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`);
}
