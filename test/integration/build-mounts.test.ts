import { spawnSync } from "node:child_process";
import { readdir } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { expect, test } from "vitest";
import { home } from "../../src/index.js";
import { buildsInFreshHomes } from "../support/builds.js";
import { listen } from "../support/servers/listen.js";
import { TarBuilder } from "../support/tar-builder.js";

const builds = buildsInFreshHomes();
const { build, files } = builds;

test("a cache persists from build to build, and no layer has it or the place that it was at", async () => {
  const dockerfile = (command: string) => `FROM $BASE AS seed
RUN mkdir /seed && echo seeded > /seed/from
FROM $BASE
RUN mkdir -p /hidden/cache
RUN rm -r /hidden
RUN --mount=type=cache,target=/hidden/cache,mode=0770,uid=7,gid=8 --mount=type=cache,id=b,target=/seeded,from=seed,source=/seed,sharing=locked ${command}
RUN find / -xdev -path '/hidden*' -o -xdev -path '/seeded*' -o -xdev -path '/after'
`;
  const first = await build(
    dockerfile(
      "stat -c '%a %u:%g' /hidden/cache; ls -A /hidden/cache; cat /seeded/from; echo one > /hidden/cache/n; rm /seeded/from",
    ),
  );
  expect(first.output).toBe("770 7:8\nseeded\n");
  const second = await build(dockerfile("cat /hidden/cache/n; ls -A /seeded; touch /after; exit 0"));
  expect(second.output).toBe("one\n/after\n");
  expect(await readdir(join(home().builds, "caches"))).toHaveLength(4);
});

test("commands of several builds that share a cache take turns", async () => {
  const command = (name: string) => `FROM $BASE
RUN --mount=type=cache,target=/c test ! -e /c/busy && touch /c/busy && sleep 1 && rm /c/busy && echo ${name}\n`;
  const done = await Promise.all([build(command("a")), build(command("b"))]);
  expect(done.map(({ output }) => output)).toEqual(["a\n", "b\n"]);
});

test("files of the context and of stages are shown, and what is written there is gone", async () => {
  files({ "src/a": "A", "src/skipped": "S", other: "O", ".dockerignore": "src/skipped\n" });
  const dockerfile = `FROM $BASE AS made
RUN mkdir -p /out/deep && echo M > /out/deep/m && ln -s deep /out/link
FROM $BASE
WORKDIR /w
RUN --mount=target=. --mount=from=made,source=/out/link/m,target=/m --mount=type=bind,source=src,target=/rw,rw \\
  --mount=type=tmpfs,target=/t,size=1m \\
  cat src/a other /m && ls /w/src && ! touch /w/x 2>/dev/null && echo new > /rw/new && cat /rw/new && df -k /t | tail -n 1 | awk '{print $2}'
RUN ls -A /w; ls -d /m /rw /t 2>/dev/null || echo none
`;
  const first = await build(dockerfile);
  expect(first.output).toBe("AOM\na\nnew\n1024\nnone\n");
  expect((await build(dockerfile)).steps.cached).toBe(first.steps.total);
  files({ "src/skipped": "changed" });
  expect((await build(dockerfile)).steps.cached).toBe(first.steps.total);
  files({ "src/a": "changed" });
  expect((await build(dockerfile)).output).toContain("changedOM");
});

test("files of a context that was fetched are shown, too", async () => {
  const tar = new TarBuilder()
    .file("src/a", "A", { uid: 5 })
    .file("left", "L")
    .file(".dockerignore", "left\n")
    .finish();
  await using server = await listen(createServer((_request, response) => response.end(tar)));
  const context = `http://host.supermachine.internal:${server.port}/context.tar`;
  const dockerfile = "FROM $BASE\nRUN --mount=target=/c cat /c/src/a && stat -c ' %u' /c/src/a && ls -A /c\n";
  const { output } = await build(dockerfile, { context, egress: { allow: ["host.supermachine.internal"] } });
  expect(output).toBe("A 0\n.dockerignore\nsrc\n");
});

test("a secret is there for its command alone, and in nothing that is kept", async () => {
  const secret = `s3cr3t-${"x".repeat(40)}-value`;
  files({ secret });
  const dockerfile = `FROM $BASE
RUN --mount=type=secret,id=key,mode=0440,uid=5 --mount=type=secret,id=token,env=TOKEN --mount=type=secret,id=absent \\
  stat -c '%a %u:%g' /run/secrets/key && wc -c < /run/secrets/key && echo \${#TOKEN} && ls /run/secrets && cp /run/secrets/key /dev/shm
RUN echo kept-in-a-layer > /kept; ls -A /run; echo "[$TOKEN]"
`;
  const { output } = await build(dockerfile, {
    secrets: { key: { file: join(builds.context, "secret") }, token: { value: secret } },
  });
  expect(output).toBe(`440 5:0\n${secret.length}\n${secret.length}\nkey\n[]\n`);
  // What a command does keep is found, so the search is one that finds.
  const holds = (text: string) => spawnSync("grep", ["-raqF", "-D", "skip", text, home().root]).status === 0;
  expect([holds("kept-in-a-layer"), holds(secret)]).toEqual([true, false]);
});

test("a required secret that was not given, and a source that is not there, are named", async () => {
  const failure = async (instruction: string) => {
    const error = await build(`FROM $BASE\n${instruction}\n`).catch((reason: unknown) => reason);
    return error instanceof Error ? error.message : "it succeeded";
  };
  expect(await failure("RUN --mount=type=secret,id=k,required true")).toContain("the secret k is required");
  expect(await failure("RUN --mount=source=nothing,target=/x true")).toContain("nothing is not in the build context");
  expect(await failure("RUN --mount=source=../../etc,target=/x true")).toContain("is not in the build context");
  expect(await failure("RUN --mount=type=tmpfs,target=/bin/busybox true")).toContain("something else there");
});
