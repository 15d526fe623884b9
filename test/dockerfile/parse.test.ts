import { describe, expect, test } from "vitest";
import { type Instruction, parseDockerfile } from "../../src/dockerfile/index.js";
import { DockerfileError, SupermachineError } from "../../src/errors.js";

/** The instructions after `FROM x`, without where they are. */
function parse(text: string): Record<string, unknown>[] {
  const [stage] = parseDockerfile(`FROM x\n${text}`).stages;
  return stage!.instructions.map(({ location, text: _, ...rest }: Instruction) => rest);
}

const shell = (text: string) => ({ command: { form: "shell", text } });
const exec = (...argv: string[]) => ({ command: { form: "exec", argv } });

describe("lines", () => {
  const run = (text: string) => parse(text).map((each) => (each.command as { text: string }).text);

  test.each<[string, string, string[]]>([
    ["one line", "RUN a b", ["a b"]],
    ["lower case", "run a", ["a"]],
    ["white space before and after", "  \tRUN   a  b  ", ["a  b"]],
    ["a tab after the name", "RUN\ta", ["a"]],
    ["empty lines and comments between", "\n# c\nRUN a\n\n  # d\nRUN b\n", ["a", "b"]],
    ["CRLF", "RUN a\r\nRUN b \\\r\n c\r\n", ["a", "b  c"]],
    ["no newline at the end", "RUN a\\\n b", ["a b"]],
    ["a continuation", "RUN a \\\nb", ["a b"]],
    ["a continuation joins without a space", "RUN a\\\nb", ["ab"]],
    ["white space of the continued line stays", "RUN a\\\n   b", ["a   b"]],
    ["white space after the escape", "RUN a \\ \t \n b", ["a  b"]],
    ["an escaped escape ends the line", "RUN a \\\\\nRUN b", ["a \\\\", "b"]],
    ["three escapes end the line too", "RUN a \\\\\\\nRUN b", ["a \\\\\\", "b"]],
    ["a comment within", "RUN a \\\n# no\n b", ["a  b"]],
    ["an indented comment within", "RUN a \\\n   # no \\\n b", ["a  b"]],
    ["a comment does not continue", "# no \\\nRUN a", ["a"]],
    ["empty lines within", "RUN a \\\n\n  \n b", ["a  b"]],
    ["a hash later on is no comment", "RUN a # b", ["a # b"]],
    ["a hash at the start of a continued line is one", "RUN a \\\n#b\nc", ["a c"]],
    ["a continuation at the end of the file", "RUN a \\\n", ["a"]],
    ["a continuation before everything", "\\\nRUN a", ["a"]],
    ["a name cut in two", "RU\\\nN a", ["a"]],
    ["a lone continuation at the end", "RUN a\n\\\n", ["a"]],
    ["not ASCII", "RUN echo 世界 é", ["echo 世界 é"]],
  ])("%s", (_, text, expected) => expect(run(text)).toEqual(expected));

  test("a byte order mark is passed over", () => {
    expect(parseDockerfile("\uFEFFFROM a").stages[0]).toMatchObject({ base: "a" });
  });

  test("instructions know where they are", () => {
    const file = parseDockerfile("# c\n\nFROM a\n\n  RUN x \\\n   y\nCOPY <<E /\nz\nE\n", {
      fileName: "dir/App.Dockerfile",
    });
    const [run, copy] = file.stages[0]!.instructions;
    expect(file.stages[0]!.from.location).toMatchObject({ file: "dir/App.Dockerfile", line: 3, column: 1, endLine: 3 });
    expect(run!.location).toMatchObject({ line: 5, column: 3, endLine: 6, lines: ["  RUN x \\", "   y"] });
    expect(copy!.location).toMatchObject({ line: 7, endLine: 9 });
  });
});

describe("RUN, CMD and ENTRYPOINT", () => {
  test.each<[string, object]>([
    ["RUN a 'b c' $d", shell("a 'b c' $d")],
    ['RUN ["a", "b c"]', exec("a", "b c")],
    ['RUN [ "a" , "\\u0041\\n" ]', exec("a", "A\n")],
    ['RUN ["a", "b"', shell('["a", "b"')],
    ["RUN ['a']", shell("['a']")],
    ['RUN ["a"] b', shell('["a"] b')],
    ["RUN [ -f x ] && y", shell("[ -f x ] && y")],
    ['RUN \\\n ["a"]', exec("a")],
    ["CMD []", exec()],
    ["CMD a", shell("a")],
    ["ENTRYPOINT []", exec()],
    ['ENTRYPOINT ["/bin/x", "-y"]', exec("/bin/x", "-y")],
    ['CMD ["世界"]', exec("世界")],
  ])("%s", (text, expected) => expect(parse(text)[0]).toMatchObject(expected));

  test.each([
    ["RUN x", { network: "default", security: "sandbox", mounts: [] }],
    ["RUN --network=none x", { network: "none", ...shell("x") }],
    ["RUN --network=HOST x", { network: "host" }],
    ["RUN --security=insecure x", { security: "insecure" }],
    ["RUN --mount=type=tmpfs,target=/a --mount=target=/b,from=c x", { mounts: [{}, { from: "c" }] }],
    ["RUN -- --network=none", shell("--network=none")],
    ["RUN --network=none -- x", { network: "none", ...shell("x") }],
    ["RUN x --network=none", { network: "default", ...shell("x --network=none") }],
    ["RUN --mount=type=tmpfs,target='/a b' x", { mounts: [{ text: "type=tmpfs,target=/a b" }], ...shell("x") }],
    ['RUN --mount="type=tmpfs,target=/a b" x', { mounts: [{ text: "type=tmpfs,target=/a b" }] }],
    ["RUN --mount=type=tmpfs,target=/a\\ b x", { mounts: [{ text: "type=tmpfs,target=/a b" }] }],
    ["RUN --mount=type=tmpfs,target=$X x", { mounts: [{ text: "type=tmpfs,target=$X" }] }],
    ["RUN --network=none \\\n --mount=type=tmpfs,target=/a \\\n x", { network: "none", ...shell("x") }],
  ])("%s", (text, expected) => expect(parse(text)[0]).toMatchObject(expected));
});

describe("ENV, LABEL and ARG", () => {
  test.each<[string, [string, string][]]>([
    ["ENV a=b", [["a", "b"]]],
    [
      "ENV a=b c=d",
      [
        ["a", "b"],
        ["c", "d"],
      ],
    ],
    ["ENV a=", [["a", ""]]],
    ["ENV a b", [["a", "b"]]],
    ["ENV a b c=d", [["a", "b c=d"]]],
    ["ENV a   b ", [["a", "b"]]],
    ["ENV a\tb", [["a", "b"]]],
    ['ENV a "b c"', [["a", '"b c"']]],
    [
      'ENV a="b c" d=e',
      [
        ["a", '"b c"'],
        ["d", "e"],
      ],
    ],
    [
      "ENV a='b c' d=e",
      [
        ["a", "'b c'"],
        ["d", "e"],
      ],
    ],
    [
      "ENV a=b\\ c d=e",
      [
        ["a", "b\\ c"],
        ["d", "e"],
      ],
    ],
    [
      'ENV a="b\\" c" d=e',
      [
        ["a", '"b\\" c"'],
        ["d", "e"],
      ],
    ],
    [
      "ENV a='b\\' c=d",
      [
        ["a", "'b\\'"],
        ["c", "d"],
      ],
    ],
    [
      'ENV a=b"c d"e f=g',
      [
        ["a", 'b"c d"e'],
        ["f", "g"],
      ],
    ],
    ["ENV a=b=c", [["a", "b=c"]]],
    [
      "ENV a=b \\\n  c=d",
      [
        ["a", "b"],
        ["c", "d"],
      ],
    ],
    [
      "ENV a=b \\\n # no\n c=d",
      [
        ["a", "b"],
        ["c", "d"],
      ],
    ],
    [
      "ENV a=\"\" b=''",
      [
        ["a", '""'],
        ["b", "''"],
      ],
    ],
    ['ENV a="b c', [["a", '"b c']]],
    ["ENV a=b\\", [["a", "b"]]],
  ])("%s", (text, pairs) => {
    const expected = pairs.map(([key, value]) => ({ key, value }));
    expect(parse(text)[0]).toMatchObject({ env: expected });
    expect(parse(text.replace("ENV", "LABEL"))[0]).toMatchObject({ labels: expected });
  });

  test.each<[string, [string, string | undefined][]]>([
    ["ARG a", [["a", undefined]]],
    ["ARG a=b", [["a", "b"]]],
    ["ARG a=", [["a", ""]]],
    ['ARG a=""', [["a", '""']]],
    [
      "ARG a b=c d",
      [
        ["a", undefined],
        ["b", "c"],
        ["d", undefined],
      ],
    ],
    ["ARG a='b c'", [["a", "'b c'"]]],
  ])("%s", (text, pairs) => {
    expect(parse(text)[0]).toMatchObject({ args: pairs.map(([key, value]) => ({ key, value })) });
  });
});

describe("COPY and ADD", () => {
  test.each([
    ["COPY a b", { sources: ["a"], destination: "b", link: false, parents: false, exclude: [] }],
    ["COPY a b c/", { sources: ["a", "b"], destination: "c/" }],
    ['COPY ["a b", "c d"]', { sources: ["a b"], destination: "c d" }],
    ['COPY "a" b', { sources: ['"a"'], destination: "b" }],
    ["COPY   a \t b", { sources: ["a"], destination: "b" }],
    ["COPY --from=build a b", { from: "build" }],
    ["COPY --from=0 a b", { from: "0" }],
    ["COPY --chown=1:2 --chmod=755 --link --parents a b", { chown: "1:2", chmod: "755", link: true, parents: true }],
    ["COPY --link=false a b", { link: false }],
    ["COPY --link=TRUE a b", { link: true }],
    ["COPY --exclude=*.md --exclude=x a b", { exclude: ["*.md", "x"] }],
    ["ADD --checksum=sha256:ab http://x/y z", { checksum: "sha256:ab", sources: ["http://x/y"] }],
    ["ADD --keep-git-dir https://x/y.git z", { keepGitDir: true }],
    ["ADD --unpack=false a b", { unpack: false }],
    ["ADD --unpack a b", { unpack: true }],
    ["ADD a b", { unpack: undefined, checksum: undefined, keepGitDir: false }],
    ["COPY <<EOF /x\na\n  b\nEOF", { sources: [], heredocs: [{ name: "EOF", content: "a\n  b\n", expand: true }] }],
    [
      "COPY <<A f <<'B' /x/\n1\nA\n2\nB",
      {
        sources: ["f"],
        heredocs: [
          { name: "A", content: "1\n" },
          { name: "B", expand: false },
        ],
      },
    ],
    ["COPY <<-A /x\n\t\ta\n\tA", { heredocs: [{ content: "\t\ta\n", stripTabs: true }] }],
    ["COPY <<A /x\nA", { heredocs: [{ content: "" }] }],
    ["COPY <<A \\\n /x\na\nA", { destination: "/x", heredocs: [{ content: "a\n" }] }],
    ["ADD <<a.txt /x\na\na.txt", { heredocs: [{ name: "a.txt" }] }],
    ['COPY ["<<EOF", "/x"]', { sources: ["<<EOF"], heredocs: [] }],
  ])("%s", (text, expected) => expect(parse(text)[0]).toMatchObject(expected));
});

describe("heredocs of RUN", () => {
  test.each<[string, [string, string, boolean][]]>([
    ["RUN <<EOF\na\nEOF", [["EOF", "a\n", true]]],
    ['RUN <<"EOF"\na\nEOF', [["EOF", "a\n", false]]],
    ["RUN <<'E O F'\na\nE O F", [["E O F", "a\n", false]]],
    ['RUN <<E"O"F\na\nEOF', [["EOF", "a\n", false]]],
    ["RUN <<E\\OF\na\nEOF", [["EOF", "a\n", true]]],
    [
      "RUN cat <<A <<B\n1\nA\n2\nB",
      [
        ["A", "1\n", true],
        ["B", "2\n", true],
      ],
    ],
    ["RUN 3<<A cat\n1\nA", [["A", "1\n", true]]],
    ["RUN <<A\n# kept\n\n  \\\nA", [["A", "# kept\n\n  \\\n", true]]],
    ["RUN <<A\n A\nA", [["A", " A\n", true]]],
    ["RUN <<-A\n\tx\n\t\tA", [["A", "\tx\n", true]]],
    ["RUN <<A\r\nx\r\nA\r\n", [["A", "x\r\n", true]]],
    ["RUN <<$A\nx\n$A", [["$A", "x\n", true]]],
    ["RUN cat <<<x", []],
    ["RUN echo '<<A'", []],
    ['RUN echo "a <<A b"', []],
    ["RUN echo 'it <<A", []],
    ["RUN echo $((1<<2))", []],
    ['RUN ["a", "<<A"]', []],
    ["ONBUILD RUN <<A\nx\nA", [["A", "x\n", true]]],
  ])("%s", (text, expected) => {
    const [first] = parse(`${text}\nUSER after`);
    const { heredocs } = ((first as { trigger?: object }).trigger ?? first) as {
      heredocs: { name: string; content: string; expand: boolean }[];
    };
    expect(heredocs.map(({ name, content, expand }) => [name, content, expand])).toEqual(expected);
    expect(parse(`${text}\nUSER after`)[1]).toMatchObject({ name: "USER", user: "after" });
  });
});

describe("the others", () => {
  test.each([
    ["EXPOSE 80 443/tcp $P", { ports: ["80", "443/tcp", "$P"] }],
    ["USER a:b", { user: "a:b" }],
    ["WORKDIR /a b", { path: "/a b" }],
    ["VOLUME /a /b", { paths: ["/a", "/b"] }],
    ['VOLUME ["/a b"]', { paths: ["/a b"] }],
    ['SHELL ["/bin/bash", "-c"]', { shell: ["/bin/bash", "-c"] }],
    ["STOPSIGNAL SIGTERM", { signal: "SIGTERM" }],
    ["MAINTAINER A B <c@d>", { maintainer: "A B <c@d>" }],
    ["HEALTHCHECK NONE", { check: { test: ["NONE"] } }],
    ["HEALTHCHECK none", { check: { test: ["NONE"] } }],
    ["HEALTHCHECK CMD a b", { check: { test: ["CMD-SHELL", "a b"], interval: 0, retries: 0 } }],
    ['HEALTHCHECK CMD ["a", "b"]', { check: { test: ["CMD", "a", "b"] } }],
    [
      "HEALTHCHECK --interval=1m30s --timeout=1.5s --retries=3 CMD a",
      { check: { interval: 90e9, timeout: 1.5e9, retries: 3 } },
    ],
    [
      "HEALTHCHECK --start-period=1h --start-interval=250ms CMD a",
      { check: { startPeriod: 3600e9, startInterval: 250e6 } },
    ],
    ["ONBUILD RUN a b", { expression: "RUN a b", trigger: shell("a b") }],
    ["onbuild copy --from=x a b", { expression: "copy --from=x a b", trigger: { name: "COPY", from: "x" } }],
    ["ONBUILD COPY <<A /x\n1\nA", { expression: "COPY <<A /x\n1\nA" }],
  ])("%s", (text, expected) => expect(parse(text)[0]).toMatchObject(expected));
});

describe("FROM and stages", () => {
  test.each([
    ["FROM a", [{ base: "a", name: undefined }]],
    ["FROM a AS b", [{ base: "a", name: "b" }]],
    ["FROM a as B.c-d_1", [{ name: "b.c-d_1" }]],
    ["FROM --platform=linux/arm64 a", [{ platform: "linux/arm64" }]],
    ["FROM a AS b\nFROM b\nFROM scratch AS c", [{ index: 0 }, { index: 1, base: "b" }, { index: 2, name: "c" }]],
    ["ARG v=1\nFROM a:${v}", [{ base: "a:${v}" }]],
  ])("%s", (text, expected) => expect(parseDockerfile(text).stages).toMatchObject(expected));

  test("ARG before FROM belongs to no stage", () => {
    const file = parseDockerfile("ARG a=1\nARG b\nFROM x\nARG c");
    expect(file.globalArgs.map(({ args }) => args[0]?.key)).toEqual(["a", "b"]);
    expect(file.stages[0]!.instructions).toHaveLength(1);
  });
});

test("a mistake has a code, a place, the line and what to do", () => {
  try {
    parseDockerfile("FROM a\n  RUM x\n", { fileName: "Dockerfile.dev" });
    expect.unreachable();
  } catch (error) {
    expect(error).toBeInstanceOf(DockerfileError);
    expect(error).toBeInstanceOf(SupermachineError);
    expect(error).toMatchObject({ code: "ERR_SUPERMACHINE_DOCKERFILE", file: "Dockerfile.dev", line: 2, column: 3 });
    expect((error as Error).message).toBe(
      "Dockerfile.dev:2:3: unknown instruction: RUM\n  2 |   RUM x\n    |   ^\n  Did you mean RUN?",
    );
  }
});
