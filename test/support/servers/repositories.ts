import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const sha256 = (content: Buffer | string) => createHash("sha256").update(content).digest("hex");

/** An apt repository in a folder, without a signature: the package `greeting`, with a program, depends on `words`, which has 1 MiB of them. */
export function makeAptRepository(folder: string): void {
  mkdirSync(folder, { recursive: true });
  const build = (name: string, depends: string, files: Record<string, string | Buffer>) => {
    const root = join(folder, `${name}.root`);
    const control = `Package: ${name}\nVersion: 1.0\nArchitecture: all\nMaintainer: A Test <test@example.org>\n${depends}Description: of a test\n`;
    for (const [path, content] of Object.entries({ ...files, "DEBIAN/control": control })) {
      mkdirSync(join(root, path, ".."), { recursive: true });
      writeFileSync(join(root, path), content, { mode: 0o755 });
    }
    execFileSync("dpkg-deb", ["--build", "--root-owner-group", "-Zxz", root, join(folder, `${name}.deb`)], {
      stdio: "pipe",
    });
  };
  build("words", "", { "usr/share/words/all": randomBytes(1 << 20) });
  build("greeting", "Depends: words\n", { "usr/bin/greeting": "#!/bin/sh\necho hello from a package\n" });
  const stanzas = readdirSync(folder)
    .filter((name) => name.endsWith(".deb"))
    .map((name) => {
      const content = readFileSync(join(folder, name));
      const control = execFileSync("dpkg-deb", ["--field", join(folder, name)], { encoding: "utf8" });
      return `${control.trimEnd()}\nFilename: ./${name}\nSize: ${content.length}\nSHA256: ${sha256(content)}\n`;
    });
  const packages = stanzas.join("\n");
  writeFileSync(join(folder, "Packages"), packages);
  const date = new Date().toUTCString();
  writeFileSync(
    join(folder, "Release"),
    `Date: ${date}\nSHA256:\n ${sha256(packages)} ${Buffer.byteLength(packages)} Packages\n`,
  );
}

const WHEEL = `
import sys, zipfile
folder, name, depends, code = sys.argv[1:]
with zipfile.ZipFile(f"{folder}/{name}-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
    info = f"{name}-1.0.dist-info"
    wheel.writestr(f"{name}.py", code)
    wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n" + (f"Requires-Dist: {depends}\\n" if depends else ""))
    wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr(f"{info}/RECORD", f"{name}.py,,\\n{info}/METADATA,,\\n{info}/WHEEL,,\\n{info}/RECORD,,\\n")
`;

/** An index of Python packages in a folder (PEP 503): `greeting` depends on `words`. */
export function makePythonIndex(folder: string): void {
  const add = (name: string, depends: string, code: string) => {
    mkdirSync(join(folder, name), { recursive: true });
    execFileSync("python3", ["-c", WHEEL, join(folder, name), name, depends, code]);
    const file = `${name}-1.0-py3-none-any.whl`;
    const sum = sha256(readFileSync(join(folder, name, file)));
    writeFileSync(join(folder, name, "index.html"), `<!DOCTYPE html><a href="${file}#sha256=${sum}">${file}</a>`);
  };
  add("words", "", "HELLO = 'hello from a wheel'\n");
  add("greeting", "words>=1.0", "import words\nprint(words.HELLO)\n");
}

/** A registry of npm packages in a folder that is served at `url`: `greeting` depends on `words`. */
export function makeNpmRegistry(folder: string, url: string): void {
  const add = (name: string, dependencies: Record<string, string>, code: string) => {
    const root = join(folder, `${name}.root`, "package");
    mkdirSync(root, { recursive: true });
    const manifest = { name, version: "1.0.0", main: "index.js", dependencies };
    writeFileSync(join(root, "package.json"), JSON.stringify(manifest));
    writeFileSync(join(root, "index.js"), code);
    const file = `${name}-1.0.0.tgz`;
    execFileSync("tar", ["-C", join(root, ".."), "-czf", join(folder, file), "package"]);
    const digest = createHash("sha512")
      .update(readFileSync(join(folder, file)))
      .digest("base64");
    const dist = { tarball: `${url}/${file}`, integrity: `sha512-${digest}` };
    const versions = { "1.0.0": { ...manifest, dist } };
    writeFileSync(join(folder, name), JSON.stringify({ name, "dist-tags": { latest: "1.0.0" }, versions }));
  };
  mkdirSync(folder, { recursive: true });
  add("words", {}, "exports.HELLO = 'hello from npm';\n");
  add("greeting", { words: "^1.0.0" }, "exports.hello = (name) => `${require('words').HELLO}, ${name}`;\n");
}
