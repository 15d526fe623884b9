import { program } from "../program.js";
import { complete } from "./complete.js";

/** Prints what can be typed in the place of the last of `words`, for the shells' scripts. */
export async function printCompletion(words: readonly string[]): Promise<void> {
  const { candidates, files } = await complete(await program(words), words);
  const lines = candidates.map(({ value, about }) => (about ? `${value}\t${about.split("\n")[0]}` : value));
  process.stdout.write([...lines, ...(files ? [":files"] : [])].map((line) => `${line}\n`).join(""));
}
