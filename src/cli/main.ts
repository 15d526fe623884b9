#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import { version } from "../index.js";
import { doctorCommand } from "./doctor.js";
import { reportError } from "./errors.js";
import { execCommand } from "./exec.js";
import { imagesCommand } from "./images.js";
import { inspectCommand } from "./inspect.js";
import { killCommand } from "./kill.js";
import { checkLogLevel } from "./log-level.js";
import { logsCommand } from "./logs.js";
import { pruneCommand } from "./prune.js";
import { psCommand } from "./ps.js";
import { pullCommand } from "./pull.js";
import { pushCommand } from "./push.js";
import { rmCommand } from "./rm.js";
import { rmiCommand } from "./rmi.js";
import { runCommand } from "./run.js";
import { saveCommand } from "./save.js";
import { setupCommand } from "./setup.js";
import { stopCommand } from "./stop.js";
import { versionCommand } from "./version.js";
import { volumeCommand } from "./volume.js";

const program = new Command("supermachine")
  .description("Runs any OCI/Docker image as a microVM that is restored from a snapshot, not booted.")
  .version(version, "--version")
  .enablePositionalOptions()
  .exitOverride()
  .configureHelp({ showGlobalOptions: false });

for (const command of [
  runCommand,
  execCommand,
  psCommand,
  logsCommand,
  inspectCommand,
  stopCommand,
  killCommand,
  rmCommand,
  pullCommand,
  pushCommand,
  saveCommand,
  imagesCommand,
  rmiCommand,
  volumeCommand,
  pruneCommand,
  setupCommand,
  doctorCommand,
  versionCommand,
]) {
  program.addCommand(command().exitOverride());
}

try {
  checkLogLevel();
  await program.parseAsync(process.argv, { from: "node" });
} catch (error) {
  process.exitCode = error instanceof CommanderError ? (error.exitCode === 0 ? 0 : 2) : reportError(error);
}
