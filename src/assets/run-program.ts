import type { Options } from "execa";

/**
 * Runs a program without a shell and gives its output; rejects when it fails. The library for it is loaded on first use: that
 * takes 60 ms, which a command that finds everything in place does not need.
 */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: Options,
): Promise<{ stdout: string }> {
  const { execa } = await import("execa");
  const { stdout } = await execa(program, args, options);
  return { stdout: String(stdout) };
}
