#!/usr/bin/env node
import { CommanderError } from "commander";
import { reportError } from "./errors.js";
import { checkLogLevel } from "./log-level.js";
import { program } from "./program.js";

try {
  checkLogLevel();
  const args = process.argv.slice(2);
  await (await program(args)).parseAsync(args, { from: "user" });
} catch (error) {
  process.exitCode = error instanceof CommanderError ? (error.exitCode === 0 ? 0 : 2) : reportError(error);
}
