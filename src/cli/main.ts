#!/usr/bin/env node
import { CommanderError } from "commander";
import { reportError } from "./errors.js";
import { checkLogLevel } from "./log-level.js";
import { program } from "./program.js";

try {
  checkLogLevel();
  await program().parseAsync(process.argv, { from: "node" });
} catch (error) {
  process.exitCode = error instanceof CommanderError ? (error.exitCode === 0 ? 0 : 2) : reportError(error);
}
