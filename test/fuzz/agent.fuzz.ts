import { execa } from "execa";
import { test } from "vitest";
import { SECONDS } from "./support/fuzz.js";

const guest = new URL("../../guest", import.meta.url).pathname;

// By libFuzzer, with the address and the undefined behaviour sanitizer: it needs clang.
test.each(["parse", "users"])(`the agent's parsers take whatever comes (%s), for ${SECONDS} s`, async (target) => {
  const { stderr } = await execa("make", ["-C", guest, `fuzz-${target}`, `FUZZ_SECONDS=${SECONDS}`]);
  console.log(stderr.match(/stat::number_of_executed_units.*|.*DONE.*/g)?.join("\n"));
});
