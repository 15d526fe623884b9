import type { Options, Result } from "execa";

/**
 * Runs a program without a shell and gives its output; rejects when it fails. The library for it is loaded on first use: that
 * takes 60 ms, which a command that finds everything in place does not need.
 */
export async function runProgram<T extends Options>(
  program: string,
  args: readonly string[],
  options: T,
): Promise<Result<T>> {
  const { execa } = await import("execa");
  return execa(program, args, options);
}
