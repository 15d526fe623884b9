// A dev server runs in a microVM and serves the project's folder on this machine: an edit here is live there.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Image } from "supermachine";

const SERVER = `
import http.server, importlib, os, app

class Handler(http.server.BaseHTTPRequestHandler):
    seen = 0
    def do_GET(self):
        # inotify does not tell of edits that the host makes, so the time of the file is looked at.
        changed = os.stat(app.__file__).st_mtime_ns
        if changed != Handler.seen: importlib.reload(app)
        Handler.seen = changed
        self.send_response(200)
        self.end_headers()
        self.wfile.write(app.page().encode())

http.server.HTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
`;

const image = await Image.fromOci(process.argv[2] ?? "python:3.12-slim");
const project = mkdtempSync(join(tmpdir(), "project-"));
const edit = (text: string) => writeFileSync(join(project, "app.py"), `def page(): return ${JSON.stringify(text)}\n`);
edit("before the edit");
writeFileSync(join(project, "server.py"), SERVER);
{
  await using vm = await image.start({ mounts: [{ host: project, guest: "/src", readOnly: true }] });
  await vm.exec(["python3", "-B", "server.py"], { cwd: "/src", stdin: "ignore" });
  await vm.waitForPort(8000);
  const { hostPort } = await vm.exposeTcp({ guestPort: 8000 });
  const show = async () => console.log(await (await fetch(`http://127.0.0.1:${hostPort}`)).text());

  await show();
  edit("after the edit");
  // Within half a second the guest knows.
  await sleep(1000);
  await show();
}
rmSync(project, { recursive: true });
