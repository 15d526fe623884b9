import { resolve } from "node:path";
import { defineConfig } from "vitest/config";

// One home: its kernel, templates and layers are made once. What a run leaves there, the next one uses.
const env = { SUPERMACHINE_HOME: process.env.SUPERMACHINE_HOME ?? resolve(".tmp/test-home") };
// How long a state is waited for that comes sooner or later: on a busy machine 1 s is soon over.
const expect = { poll: { timeout: 60_000 } };
// QEMU under software emulation keeps a processor busy, so that more than two files at a time would only delay each other.
// Two more tries, since on a busy machine a terminal or a guest may once be slower than anybody would wait for.
const withQemu = {
  expect,
  maxWorkers: 2,
  sequence: { groupOrder: 1 },
  setupFiles: ["test/support/home-of-worker.ts"],
  testTimeout: 120_000,
  hookTimeout: 300_000,
  retry: 2,
  env,
};
// Alone on the machine, for what they measure or fill.
const alone = { ...withQemu, maxWorkers: 1, fileParallelism: false, sequence: { groupOrder: 2 } };

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/{integration,e2e,soak,kvm}/**"],
          maxWorkers: 2,
          // On a machine that is busy with other things too, 5 s are soon over.
          testTimeout: 60_000,
          hookTimeout: 60_000,
          retry: 1,
          expect,
        },
      },
      { test: { name: "integration", include: ["test/integration/**/*.test.ts"], ...withQemu } },
      { test: { name: "e2e", include: ["test/e2e/**/*.test.ts"], ...withQemu } },
      // Where KVM itself is emulated, everything takes twenty times as long.
      {
        test: {
          name: "kvm",
          include: ["test/kvm/**/*.test.ts"],
          ...alone,
          testTimeout: 300_000,
          hookTimeout: 600_000,
        },
      },
      // Ten minutes each, or SUPERMACHINE_FUZZ_SECONDS.
      { test: { name: "fuzz", include: ["test/fuzz/**/*.fuzz.ts"], testTimeout: 3_600_000 } },
      { test: { name: "soak", include: ["test/soak/**/*.test.ts"], ...alone, testTimeout: 3_600_000 } },
    ],
  },
});
