import { Option } from "commander";
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from "./detach-keys.js";

/** `--detach-keys`, of every command that connects a terminal. */
export function detachKeysOption(): Option {
  return new Option("--detach-keys <keys>", "what to type to leave a terminal, such as ctrl-a,d; empty for nothing")
    .argParser(parseDetachKeys)
    .default(parseDetachKeys(DEFAULT_DETACH_KEYS), DEFAULT_DETACH_KEYS);
}
