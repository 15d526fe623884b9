import type { Command } from "commander";
import { CommanderError } from "commander";
import { beforeAll, describe, expect, test } from "vitest";
import { COMMANDS } from "../../src/cli/commands.js";
import { program } from "../../src/cli/program.js";

let whole: Command;

beforeAll(async () => {
  whole = await program();
});

describe("the list of commands", () => {
  test("has the name that each command has", () => {
    expect(whole.commands.map((command) => command.name())).toEqual(COMMANDS.map(({ name }) => name));
  });

  test("is the same in the help, whether the commands were loaded or not", async () => {
    const outlined = await program(["--help"]);
    expect(outlined.helpInformation()).toBe(whole.helpInformation());
  });

  test.each([[["ps", "--json"]], [["help", "ps"]]])("%j loads that command and no other", async (args) => {
    const { commands } = await program(args);
    expect(commands.filter(({ options }) => options.length > 0).map((command) => command.name())).toEqual(["ps"]);
  });
});

describe("the help of every command", () => {
  test("shows examples", () => {
    expect(
      all(whole)
        .filter((command) => !/^Examples?:\n +\S/m.test(helpOf(command)))
        .map(nameOf),
    ).toEqual([]);
  });

  test("has a description, and one of each argument and option", () => {
    const without = all(whole).flatMap((command) => [
      ...(command.description() ? [] : [nameOf(command)]),
      ...[...command.options, ...command.registeredArguments]
        .filter(({ description }) => !description)
        .map((each) => `${nameOf(command)} ${"flags" in each ? each.flags : each.name()}`),
    ]);
    expect(without).toEqual([]);
  });
});

function all(command: Command): Command[] {
  return [command, ...command.commands.flatMap(all)];
}

function nameOf(command: Command): string {
  return command.parent ? `${nameOf(command.parent)} ${command.name()}` : command.name();
}

function helpOf(command: Command): string {
  let help = "";
  command.configureOutput({ writeOut: (part) => (help += part) });
  command.outputHelp();
  return help;
}

describe("wrong usage", () => {
  test.each([
    [["inspcet"], "unknown command 'inspcet'", "inspect"],
    [["images", "--jsn"], "unknown option '--jsn'", "--json"],
    [["volume", "creat", "x"], "unknown command 'creat'", "create"],
  ])("%j is answered with the nearest", async (args, problem, nearest) => {
    const error = await failureOf(args);
    expect(error).toContain(problem);
    expect(error).toContain(`Did you mean ${nearest}?`);
  });
});

/** What is printed for arguments that are refused. */
async function failureOf(args: string[]): Promise<string> {
  const command = await program(args);
  let printed = "";
  const listen = (each: Command): void => {
    each.configureOutput({ writeErr: (text) => (printed += text) });
    for (const child of each.commands) listen(child);
  };
  listen(command);
  await expect(command.parseAsync(args, { from: "user" })).rejects.toThrow(CommanderError);
  return printed;
}
