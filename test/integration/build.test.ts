import { execFileSync } from "node:child_process";
import { symlinkSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { BuildError, type BuildEvent, type BuildOptions, home, Image } from "../../src/index.js";
import { buildsInFreshHomes } from "../support/builds.js";

const builds = buildsInFreshHomes();
const { build, files } = builds;

async function outputOf(image: Image): Promise<string> {
  await using vm = await image.start();
  const process = await vm.start();
  const chunks: Buffer[] = [];
  process.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  await process.wait();
  return Buffer.concat(chunks).toString();
}

async function failure(dockerfile: string, options: Partial<BuildOptions> = {}): Promise<Error> {
  const error = await build(dockerfile, options).catch((reason: unknown) => reason);
  if (error instanceof Error) return error;
  throw new Error("the build succeeded");
}

const STAGES = `
FROM $BASE AS made
ARG GREETING=hello
ENV PLACE=/srv
WORKDIR $PLACE/app
COPY src/ ./src/
RUN echo "$GREETING $(id -u)" > greeting && rm -r /srv/app/src/left-out && ln greeting other
FROM $BASE
COPY --from=made --chown=app:1000 --chmod=u=rwX,go= /srv/app /app
WORKDIR /app
USER app
CMD ["sh", "-c", "cat greeting; sh src/main.sh; id -un; stat -c '%u:%g %a %n' /app greeting src src/main.sh"]
`;

describe("an image is built", () => {
  test("from stages, files and commands; the next time all of it is found, and after a change what comes before", async () => {
    files({
      "src/main.sh": "echo main\n",
      "src/left-out/x": "x",
      "src/ignored": "i",
      ".dockerignore": "src/ignored\n",
    });
    const options = { names: ["app"], buildArgs: { GREETING: "hi" } };
    const first = await build(STAGES, options);
    expect(first.states).toEqual(["finished", "finished", "finished", "finished", "finished"]);
    expect(await outputOf(first.image)).toBe(
      "hi 0\nmain\napp\n1000:1000 755 /app\n1000:1000 600 greeting\n1000:1000 700 src\n1000:1000 600 src/main.sh\n",
    );
    const again = await build(STAGES, options);
    expect(again.states).toEqual(["cached", "cached", "cached", "cached", "cached"]);
    expect(again.steps).toEqual({ total: 5, cached: 5 });
    expect(again.id).toBe(first.id);
    // A file of the context that no instruction copies changes nothing; one that is copied does.
    files({ "src/ignored": "other" });
    expect((await build(STAGES, options)).steps.cached).toBe(5);
    files({ "src/main.sh": "echo changed\n" });
    const changed = await build(STAGES, options);
    expect(changed.states).toEqual(["cached", "finished", "finished", "finished", "finished"]);
    expect(await outputOf(await Image.open("app"))).toContain("changed\n");
  });

  test("from the name of an image that was built, whose configuration is kept", async () => {
    await build('FROM $BASE\nENV A=1\nENTRYPOINT ["echo", "base"]\nONBUILD RUN echo triggered > /t\n', {
      names: ["base"],
    });
    const { image, states } = await build('FROM base\nEXPOSE 8000\nRUN test $A = 1 && cat /t\nCMD ["cmd"]\n', {
      names: ["derived"],
    });
    expect(states).toEqual(["finished", "finished"]);
    expect(await outputOf(image)).toBe("base cmd\n");
    expect(image.guestPort).toBe(8000);
  });

  test("from nothing, without a shell, and with an archive that is unpacked", async () => {
    files({ "data/file": "text" });
    execFileSync("tar", [
      "-C",
      builds.context,
      "-czf",
      join(builds.context, "data.tar.gz"),
      "--owner=5",
      "--group=6",
      "data",
    ]);
    const { image } = await build(`FROM $BASE AS tools
FROM scratch
COPY --from=tools /bin/busybox /bin/busybox
COPY data /data/
ADD data.tar.gz /added
RUN ["/bin/busybox", "cp", "/data/file", "/copy"]
CMD ["/bin/busybox", "find", "/", "-xdev"]
`);
    const found = (await outputOf(image)).trim().split("\n").sort();
    expect(found).toEqual(expect.arrayContaining(["/bin/busybox", "/added/data/file", "/copy", "/data/file"]));
    expect(found.filter((path) => !/^\/(added|bin|copy|data|etc|proc|sys|dev)?(\/|$)/.test(path))).toEqual([]);
  });

  test("with heredocs, removed and opaque folders, links and special files", async () => {
    const { image } = await build(`FROM $BASE
RUN mkdir -p /a/b /keep && echo 1 > /a/b/one && echo 2 > /a/two && mkfifo /pipe && ln -s a /link
RUN <<EOF
rm -r /a
mkdir -p /a/b
echo 3 > /a/b/three
rm /link
EOF
RUN <<EOF
#!/bin/busybox sh
echo "from $0" > /script
EOF
COPY <<-one <<two /text/
	tabs $NOTHING.
one
second
two
RUN --network=none --security=insecure chmod 1777 /keep
CMD cat /script /text/one /text/two; ls /a /a/b; ls -d /link; stat -c '%F %a' /pipe /keep
`);
    expect(await outputOf(image)).toBe(
      "from /dev/pipes/EOF\ntabs .\nsecond\n/a:\nb\n\n/a/b:\nthree\nfifo 644\ndirectory 1777\n",
    );
  });
});

describe("a build that fails", () => {
  test("names the instruction and the last of its output, and keeps what came before", async () => {
    const text = "FROM $BASE\nRUN echo first > /first\nRUN cat /first \\\n  && nothing-here\n";
    const error = await failure(text);
    expect(error).toBeInstanceOf(BuildError);
    expect(error).toMatchObject({ line: 3, column: 1, exitCode: 127 });
    expect(error.message).toContain("Dockerfile:3:1: RUN cat /first");
    expect(error.message).toContain("nothing-here: not found");
    const { states } = await build("FROM $BASE\nRUN echo first > /first\nRUN cat /first\n");
    expect(states).toEqual(["cached", "finished"]);
  });

  test("does not reach files outside of the context", async () => {
    files({ "inside/file": "x" });
    symlinkSync("/etc/hostname", join(builds.context, "absolute"));
    symlinkSync("../../../../../../etc/hostname", join(builds.context, "relative"));
    symlinkSync("/etc", join(builds.context, "folder"));
    for (const source of [
      "../../../../../../etc/hostname",
      "/etc/hostname",
      "absolute",
      "relative",
      "folder/hostname",
    ]) {
      expect((await failure(`FROM scratch\nCOPY ${source} /x\n`)).message).toContain("is not in the build context");
    }
  });

  test("stops the other stages, and leaves nothing behind when it is aborted", async () => {
    const stages =
      "FROM $BASE AS slow\nRUN sleep 100\nFROM $BASE\nCOPY --from=slow /etc /x\nFROM $BASE AS bad\nRUN exit 3\n";
    const error = await failure(`${stages}FROM scratch\nCOPY --from=slow /etc /a\nCOPY --from=bad /etc /b\n`);
    expect(error).toMatchObject({ exitCode: 3 });
    const stop = new AbortController();
    const onBuild = (event: BuildEvent) => {
      if (event.kind === "output") stop.abort(new Error("enough"));
    };
    const aborted = await failure("FROM $BASE\nRUN echo begun && sleep 100\n", { signal: stop.signal, onBuild });
    expect(aborted.message).toBe("enough");
    expect((await readdir(home().layers)).filter((name) => !name.endsWith(".erofs"))).toEqual([]);
  });
});
