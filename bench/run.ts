// Runs the benchmarks that are named, or all: npm run bench [-- NAME...]

// With it Node parses certificates for longer than the rest of its start takes, which is no matter of the commands that are measured.
delete process.env.NODE_EXTRA_CA_CERTS;
const all = [
  ...["layers", "restore", "exec", "pull", "pool", "fork", "snapshot"],
  ...["writable", "io", "copy", "edge", "network", "build"],
];
const names = process.argv.slice(2).length > 0 ? process.argv.slice(2) : all;
for (const name of names) {
  if (!all.includes(name)) throw new Error(`there is no benchmark ${name}; there are ${all.join(", ")}`);
  await import(`./${name}.ts`);
}
