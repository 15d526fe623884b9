import { InvalidArgumentError } from "commander";

/** Collects an option that may be given several times. */
export function collect(value: string, former: string[] = []): string[] {
  return [...former, value];
}

/** Parses a whole number. */
export function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("It is a whole number.");
  return Number(text);
}

/** Parses an amount of memory, such as `512`, `512M`, `512MiB` or `2g`, into MiB. */
export function memoryMiB(text: string): number {
  const match = /^(\d{1,9})(?:(m|g)(?:i?b)?)?$/i.exec(text);
  if (!match) throw new InvalidArgumentError("It is a number of MiB, or one with M or G, such as 512M or 2G.");
  return Number(match[1]) * (match[2]?.toLowerCase() === "g" ? 1024 : 1);
}
