import { defineConfig } from "vitest/config";

// QEMU under software emulation is slow and the machine small: integration files run one after the other.
const withQemu = { fileParallelism: false, testTimeout: 180_000, hookTimeout: 300_000 };

export default defineConfig({
  test: {
    projects: [
      { test: { name: "unit", include: ["test/**/*.test.ts"], exclude: ["test/{integration,e2e,soak}/**"] } },
      { test: { name: "integration", include: ["test/integration/**/*.test.ts"], ...withQemu } },
      { test: { name: "e2e", include: ["test/e2e/**/*.test.ts"], ...withQemu } },
      { test: { name: "soak", include: ["test/soak/**/*.test.ts"], ...withQemu, testTimeout: 3_600_000 } },
    ],
  },
});
