// Bundles the program into dist/: npm run build. Node needs most of the time of a short command to find and read modules, of which there
// would be 350; and so do the libraries that are bundled with them. Their licenses are put beside them.
import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build, type Plugin } from "esbuild";

/** One has a binary for each platform; the others are large and loaded by few commands. A part of one that is named as such is bundled. */
const NOT_BUNDLED = /^(fs-native-extensions|execa|undici)$/;
const notBundled: Plugin = {
  name: "not-bundled",
  setup: ({ onResolve }) => onResolve({ filter: NOT_BUNDLED }, ({ path }) => ({ path, external: true })),
};
const MAIN = "dist/cli/main.js";
/** Libraries in CommonJS call it for Node's own modules. */
const REQUIRE = `import { createRequire as requireFrom } from "node:module"; const require = requireFrom(import.meta.url);`;

process.chdir(join(import.meta.dirname, ".."));
const { metafile } = await build({
  entryPoints: ["src/index.ts", "src/cli/main.ts", "src/daemon/supervisor-main.ts"],
  outdir: "dist",
  outbase: "src",
  chunkNames: "chunks/[name]-[hash]",
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node20.19",
  sourcemap: true,
  // Names of classes are a part of the interface: those of errors.
  keepNames: true,
  plugins: [notBundled],
  banner: { js: REQUIRE },
  metafile: true,
  logLevel: "warning",
});
chmodSync(MAIN, 0o755);
writeFileSync("dist/licenses.txt", licensesOf(Object.keys(metafile.inputs)));

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
