#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import { version } from "../index.js";
import { doctorCommand } from "./doctor.js";
import { reportError } from "./errors.js";
import { imagesCommand } from "./images.js";
import { pruneCommand } from "./prune.js";
import { pullCommand } from "./pull.js";
import { pushCommand } from "./push.js";
import { rmiCommand } from "./rmi.js";
import { runCommand } from "./run.js";
import { setupCommand } from "./setup.js";
import { versionCommand } from "./version.js";

const program = new Command("supermachine")
  .description("Runs any OCI/Docker image as a microVM that is restored from a snapshot, not booted.")
  .version(version, "--version")
  .enablePositionalOptions()
  .exitOverride()
  .configureHelp({ showGlobalOptions: false });

for (const command of [
  runCommand,
  pullCommand,
  pushCommand,
  imagesCommand,
  rmiCommand,
  pruneCommand,
  setupCommand,
  doctorCommand,
  versionCommand,
]) {
  program.addCommand(command().exitOverride());
}

try {
  await program.parseAsync(process.argv, { from: "node" });
} catch (error) {
  process.exitCode = error instanceof CommanderError ? (error.exitCode === 0 ? 0 : 2) : reportError(error);
}
