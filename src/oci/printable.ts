const MAX_SHOWN = 200;

/** Text out of an image as it may be shown on a terminal: without control characters, and not for ever. */
export function printable(text: string): string {
  const clean = text.replace(/\p{C}/gu, "?");
  return clean.length > MAX_SHOWN ? `${clean.slice(0, MAX_SHOWN)}...` : clean;
}
