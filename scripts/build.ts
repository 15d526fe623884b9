// Bundles the library and the programs into dist/: npm run build. Node needs most of the time of a short command to find and read modules,
// of which there would be 350; and so do the libraries that are bundled with them. Their licenses are put beside them.
import { createHash } from "node:crypto";
import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BuildOptions, build, type Plugin } from "esbuild";

/** What is started, and from where. */
const PROGRAMS = [
  { name: "cli", source: "src/cli/main.ts", launcher: "dist/cli/main.js" },
  { name: "supervisor", source: "src/daemon/supervisor-main.ts", launcher: "dist/daemon/supervisor-main.js" },
];
const COMMON: BuildOptions = {
  bundle: true,
  platform: "node",
  target: "node20.19",
  // Names of classes are a part of the interface: those of errors.
  keepNames: true,
  metafile: true,
  logLevel: "warning",
};

process.chdir(join(import.meta.dirname, ".."));
const inputs = [...(await buildLibrary()), ...(await Promise.all(PROGRAMS.map(buildProgram))).flat()];
writeFileSync("dist/licenses.txt", licensesOf(inputs));

async function buildLibrary(): Promise<string[]> {
  const { metafile } = await build({
    ...COMMON,
    entryPoints: ["src/index.ts"],
    outdir: "dist",
    outbase: "src",
    chunkNames: "chunks/[name]-[hash]",
    splitting: true,
    format: "esm",
    sourcemap: true,
    plugins: [external(/^(fs-native-extensions|execa|undici)$/)],
    // Libraries in CommonJS call it for Node's own modules.
    banner: {
      js: `import { createRequire as requireFrom } from "node:module"; const require = requireFrom(import.meta.url);`,
    },
  });
  return Object.keys(metafile?.inputs ?? {});
}

/** One file in CommonJS, which is what code caches are for, and what starts it. */
async function buildProgram({ name, source, launcher }: (typeof PROGRAMS)[number]): Promise<string[]> {
  const path = `dist/programs/${name}.cjs`;
  const { metafile } = await build({
    ...COMMON,
    entryPoints: [source],
    outfile: path,
    format: "cjs",
    sourcemap: true,
    plugins: [external(/^undici$/), addonFromItsPlace(), lazyBuiltins()],
    // Code out of the cache cannot load a module at run time; what is external is in CommonJS.
    supported: { "dynamic-import": false },
    define: { "import.meta.url": "OWN_URL" },
    banner: { js: `const OWN_URL = require("node:url").pathToFileURL(__filename).href;` },
  });
  const digest = createHash("sha256").update(readFileSync(path)).digest("hex").slice(0, 16);
  const program = { name, path: `../programs/${name}.cjs`, digest };
  await build({
    ...COMMON,
    entryPoints: ["src/launch.ts"],
    outfile: launcher,
    format: "cjs",
    plugins: [lazyBuiltins()],
    define: { PROGRAM: JSON.stringify(program) },
    banner: { js: "#!/usr/bin/env node" },
  });
  chmodSync(launcher, 0o755);
  // The package is of ES modules.
  writeFileSync(join(launcher, "../package.json"), '{ "type": "commonjs" }\n');
  return Object.keys(metafile?.inputs ?? {});
}

/** One has a binary for each platform; the others are large and loaded by few commands. A part of one that is named as such is bundled. */
function external(filter: RegExp): Plugin {
  return {
    name: "external",
    setup: ({ onResolve }) => onResolve({ filter }, ({ path }) => ({ path, external: true })),
  };
}

/** The library that knows locks looks for its binary with much code. Where it does not lie in the usual place, that does it. */
function addonFromItsPlace(): Plugin {
  return {
    name: "addon-from-its-place",
    setup({ onLoad }) {
      const contents = `try {
      module.exports = require("fs-native-extensions/prebuilds/" + process.platform + "-" + process.arch + "/fs-native-extensions.node");
    } catch {
      module.exports = require("fs-native-extensions/" + "binding");
    }`;
      onLoad({ filter: /fs-native-extensions\/binding\.js$/ }, () => ({ contents }));
    },
  };
}

/** Those of Node's own modules that take a millisecond and more to load, and that many commands never use: loaded when they are used. */
function lazyBuiltins(): Plugin {
  return {
    name: "lazy-builtins",
    setup({ onResolve, onLoad }) {
      const filter = /^node:(child_process|dgram|dns|dns\/promises|http|https|net|stream\/web|tls|zlib)$/;
      onResolve({ filter }, ({ path, namespace }) =>
        namespace === "lazy" ? { path, external: true } : { path, namespace: "lazy" },
      );
      onLoad({ filter, namespace: "lazy" }, async ({ path }) => {
        const names = JSON.stringify(Object.keys(await import(path)).filter((name) => name !== "default"));
        const contents = `for (const name of ${names})
          Object.defineProperty(exports, name, { enumerable: true, get: () => require("${path}")[name] });`;
        return { contents };
      });
    },
  };
}

function licensesOf(inputs: readonly string[]): string {
  const folders = inputs.map((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0]);
  const packages = [...new Set(folders.filter((folder) => folder !== undefined))].sort();
  return packages.map(licenseOf).join("\n");
}

function licenseOf(folder: string): string {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
  const text = file === undefined ? `${license}\n` : readFileSync(join(folder, file), "utf8");
  return `${name} ${version}\n\n${text}`;
}
