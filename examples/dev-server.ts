// A dev server that runs in a microVM and serves the project's folder on this machine: an edit here is live there.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Image } from "supermachine";

const SERVER = `
import http.server, importlib, os
import app
seen = os.stat("app.py").st_mtime_ns
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global seen
        # inotify does not tell of edits that the host makes, so the time of the file is looked at.
        if os.stat("app.py").st_mtime_ns != seen:
            seen = os.stat("app.py").st_mtime_ns
            importlib.reload(app)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(app.page().encode())
    def log_message(self, *args): pass
server = http.server.HTTPServer(("127.0.0.1", 8000), Handler)
print("ready", flush=True)
server.serve_forever()
`;
const FETCH = 'import urllib.request; print(urllib.request.urlopen("http://127.0.0.1:8000").read().decode())';

const image = await Image.fromOci(process.argv[2] ?? "python:3.12-slim");
const project = mkdtempSync(join(tmpdir(), "project-"));
try {
  writeFileSync(join(project, "app.py"), 'def page(): return "before the edit"\n');
  writeFileSync(join(project, "server.py"), SERVER);
  await using vm = await image.start({ mounts: [{ host: project, guest: "/src", readOnly: true }] });
  const server = await vm.exec(["python3", "server.py"], { cwd: "/src" });
  server.stderr.pipe(process.stderr);
  for await (const line of server.stdout) if (String(line).includes("ready")) break;
  const show = async () => process.stdout.write((await vm.run(["python3", "-c", FETCH])).stdout);

  await show();
  writeFileSync(join(project, "app.py"), 'def page(): return "after the edit"\n');
  await sleep(1000);
  await show();
} finally {
  rmSync(project, { recursive: true });
}
