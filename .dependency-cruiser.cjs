// The folders of src/ are rooms: each is entered through its index.ts, and imports go one way.
const room = (name) => `^src/${name}/`;
const mayOnlyUse = (name, others) => ({
  name: `${name}-uses-only`,
  comment: `src/${name} may import ${others.join(", ") || "nothing"} and the shared top-level files, nothing else.`,
  severity: "error",
  from: { path: room(name) },
  to: { path: "^src/[^/]+/", pathNot: [name, ...others].map(room) },
});

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: "no-cycles",
      comment: "Types may refer to each other: vm.snapshot() gives an Image, image.start() gives a Vm.",
      severity: "error",
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
    {
      name: "one-door",
      comment: "A folder is entered through its index.ts.",
      severity: "error",
      from: { path: "^src/([^/]+)/" },
      to: { path: "^src/[^/]+/.+", pathNot: ["^src/$1/", "^src/[^/]+/index\\.ts$"] },
    },
    {
      name: "one-door-from-top",
      severity: "error",
      from: { path: "^src/[^/]+\\.ts$" },
      to: { path: "^src/[^/]+/.+", pathNot: "^src/[^/]+/index\\.ts$" },
    },
    {
      name: "no-orphans",
      severity: "error",
      from: { orphan: true, pathNot: ["^src/cli/main\\.ts$", "^src/daemon/supervisor-main\\.ts$", "\\.d\\.ts$"] },
      to: {},
    },
    {
      name: "no-dev-dependencies",
      severity: "error",
      from: { path: "^src/" },
      to: { dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown"] },
    },
    mayOnlyUse("store", []),
    mayOnlyUse("oci", ["store"]),
    mayOnlyUse("rootfs", ["store"]),
    mayOnlyUse("guest", []),
    mayOnlyUse("pool", []),
    mayOnlyUse("network", ["guest"]),
    mayOnlyUse("memory", ["store"]),
    mayOnlyUse("engine", ["memory", "store"]),
    mayOnlyUse("assets", ["engine", "store"]),
    mayOnlyUse("machine", ["assets", "engine", "guest", "memory", "store"]),
    mayOnlyUse("mounts", ["guest"]),
    mayOnlyUse("volumes", ["assets", "machine", "store"]),
    mayOnlyUse("image", [
      "engine",
      "guest",
      "machine",
      "memory",
      "mounts",
      "network",
      "oci",
      "pool",
      "rootfs",
      "store",
      "vm",
      "volumes",
    ]),
    mayOnlyUse("doctor", ["assets", "engine", "machine", "store"]),
    mayOnlyUse("maintenance", ["assets", "image", "machine", "memory", "oci", "rootfs", "store"]),
    mayOnlyUse("daemon", ["guest", "image", "mounts", "network", "store", "vm", "volumes"]),
    mayOnlyUse("vm", ["machine", "guest", "image", "network"]),
    {
      name: "cli-uses-the-library",
      comment: "The command line has no logic of its own: it calls what the library exports.",
      severity: "error",
      from: { path: "^src/cli/" },
      to: { path: "^src/[^/]+/", pathNot: ["^src/cli/"] },
    },
  ],
  options: {
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
  },
};
