import { describe, expect, test } from "vitest";
import { type ExpandOptions, expandWord } from "../../src/dockerfile/index.js";

const ENV = new Map([
  ["PWD", "/home"],
  ["SHELL", "bash"],
  ["KO", "한국어"],
  ["EMPTY", ""],
  ["TWO", "a b"],
  ["SPACED", " a  b "],
  ["QUOTE", `'"`],
  ["DOLLAR", "$PWD"],
  ["FILE", "a.tar.gz"],
  ["PATHS", "/usr/local/bin"],
  ["STARS", "a*b?c\\d"],
  ["REGEX", "a.b(c)[d]{e}^f+g|h"],
  ["ABAB", "abab"],
  ["_x1", "under"],
  ["NL", "a\nb"],
]);

const expand = (text: string, options?: ExpandOptions) => expandWord(text, ENV, options).text;

describe("quotes and escapes", () => {
  test.each([
    ["", ""],
    ["hello", "hello"],
    ["a b  c", "a b  c"],
    ["'a b'", "a b"],
    ['"a b"', "a b"],
    ["a'b'c", "abc"],
    ['a"b"c', "abc"],
    ["''", ""],
    ['""', ""],
    ["'a\"b'", 'a"b'],
    ['"a\'b"', "a'b"],
    ["\\a", "a"],
    ["\\\\", "\\"],
    ["a\\ b", "a b"],
    ["\\'a", "'a"],
    ['\\"a', '"a'],
    ["a\\", "a"],
    ["'\\'", "\\"],
    ["'a\\b'", "a\\b"],
    ['"a\\b"', "a\\b"],
    ['"\\""', '"'],
    ['"\\\\"', "\\"],
    ['"\\$PWD"', "$PWD"],
    ['"\\\'"', "\\'"],
    ["\\$PWD", "$PWD"],
    ["'$PWD'", "$PWD"],
    ['"$PWD"', "/home"],
    ["\"'$PWD'\"", "'/home'"],
    ["a\\世b", "a世b"],
    ["'世界'", "世界"],
  ])("%j is %j", (text, expected) => expect(expand(text)).toBe(expected));

  test.each([
    ["`a", "a"],
    ["``", "`"],
    ["`$PWD", "$PWD"],
    ["a\\b", "a\\b"],
    ['"`""', '"'],
    ['"a\\"', "a\\"],
    ["C:\\$SHELL", "C:\\bash"],
  ])("with ` as escape, %j is %j", (text, expected) => expect(expand(text, { escape: "`" })).toBe(expected));

  test.each([
    ["'a", /single quote/],
    ['"a', /double quote/],
    ['"a\\"', /double quote/],
    ['"a\\', /double quote/],
    ["a'b'c'", /single quote/],
    ['"$PWD', /double quote/],
  ])("%j is wrong", (text, why) => expect(() => expand(text)).toThrow(why));
});

describe("variables", () => {
  test.each([
    ["$PWD", "/home"],
    ["${PWD}", "/home"],
    ["a$PWD", "a/home"],
    ["$PWD/x", "/home/x"],
    ["$PWDx", ""],
    ["${PWD}x", "/homex"],
    ["$PWD$SHELL", "/homebash"],
    ["${PWD}${SHELL}", "/homebash"],
    ["$EMPTY", ""],
    ["$UNSET", ""],
    ["a${UNSET}b", "ab"],
    ["$KO", "한국어"],
    ["안녕$KO", "안녕한국어"],
    ["$_x1", "under"],
    ["$PWD.x", "/home.x"],
    ["$PWD-x", "/home-x"],
    ["$", "$"],
    ["a$", "a$"],
    ["$ a", "$ a"],
    ["$/", "$/"],
    ["$.x", "$.x"],
    ["$1a", "a"],
    ["$12", ""],
    ["$1$PWD", "/home"],
    ["$$", ""],
    ["$$PWD", "PWD"],
    ["$@", ""],
    ["$*x", "x"],
    ["$?", ""],
    ["$-", ""],
    ["$!", ""],
    ["$#", ""],
    ["${@}", ""],
    ["${1}", ""],
    ["$DOLLAR", "$PWD"],
    ["$QUOTE", `'"`],
    ["$TWO", "a b"],
    ["'$'", "$"],
    ["}", "}"],
    ["{$PWD}", "{/home}"],
    ["$NL", "a\nb"],
  ])("%j is %j", (text, expected) => expect(expand(text)).toBe(expected));

  test.each([
    ["${", /missing '}'/],
    ["${PWD", /missing '}'/],
    ["${}", /bad substitution/],
    ["${{PWD}", /bad substitution/],
    ["${:}", /bad substitution/],
    ["${:PWD}", /bad substitution/],
    ["${ PWD}", /bad substitution/],
    ["${PWD }", /unsupported modifier/],
    ["${PWD:}", /unsupported modifier/],
    ["${PWD:1}", /unsupported modifier/],
    ["${PWD=x}", /unsupported modifier/],
    ["${PWD!x}", /unsupported modifier/],
    ["${PWD^^}", /unsupported modifier/],
    ["${PWD:-x", /missing '}'/],
    ["${PWD:", /missing '}'|unsupported/],
    ["${#PWD}", /unsupported modifier/],
    ['"${PWD', /missing '}'/],
  ])("%j is wrong", (text, why) => expect(() => expand(text)).toThrow(why));
});

describe("defaults, alternatives and demands", () => {
  test.each([
    ["${PWD:-x}", "/home"],
    ["${PWD-x}", "/home"],
    ["${UNSET:-x}", "x"],
    ["${UNSET-x}", "x"],
    ["${EMPTY:-x}", "x"],
    ["${EMPTY-x}", ""],
    ["${UNSET:-}", ""],
    ["${UNSET-}", ""],
    ["${UNSET:-$PWD}", "/home"],
    ["${UNSET:-${PWD}/y}", "/home/y"],
    ["${UNSET:-${OTHER:-${THIRD:-deep}}}", "deep"],
    ["${UNSET:-'a}b'}", "a}b"],
    ['${UNSET:-"a}b"}', "a}b"],
    ["${UNSET:-a\\}b}", "a}b"],
    ["${UNSET:-a b}", "a b"],
    ["${UNSET:-/x}y", "/xy"],
    ["${UNSET:--x}", "-x"],
    ["${UNSET:-世界}", "世界"],
    ["${PWD:+x}", "x"],
    ["${PWD+x}", "x"],
    ["${UNSET:+x}", ""],
    ["${UNSET+x}", ""],
    ["${EMPTY:+x}", ""],
    ["${EMPTY+x}", "x"],
    ["${PWD:+$SHELL}", "bash"],
    ["${PWD:+${UNSET:-z}}", "z"],
    ["${PWD:+}", ""],
    ["${PWD:?no}", "/home"],
    ["${PWD?no}", "/home"],
    ["${EMPTY?no}", ""],
    ["a${UNSET:-b}c${PWD:+d}e", "abcde"],
  ])("%j is %j", (text, expected) => expect(expand(text)).toBe(expected));

  test.each([
    ["${UNSET:?}", "UNSET: is not allowed to be unset"],
    ["${UNSET?}", "UNSET: is not allowed to be unset"],
    ["${UNSET:?give it}", "UNSET: give it"],
    ["${UNSET?give $SHELL}", "UNSET: give bash"],
    ["${EMPTY:?}", "EMPTY: is not allowed to be empty"],
    ["${EMPTY:?give it}", "EMPTY: give it"],
  ])("%j fails: %s", (text, why) => expect(() => expand(text)).toThrow(why));
});

describe("prefixes, suffixes and replacements", () => {
  test.each([
    ["${FILE%.gz}", "a.tar"],
    ["${FILE%.*}", "a.tar"],
    ["${FILE%%.*}", "a"],
    ["${FILE#*.}", "tar.gz"],
    ["${FILE##*.}", "gz"],
    ["${FILE%x}", "a.tar.gz"],
    ["${FILE#x}", "a.tar.gz"],
    ["${FILE#a}", ".tar.gz"],
    ["${FILE#?}", ".tar.gz"],
    ["${FILE%?}", "a.tar.g"],
    ["${FILE%??}", "a.tar."],
    ["${FILE#*}", "a.tar.gz"],
    ["${FILE##*}", ""],
    ["${FILE%*}", "a.tar.gz"],
    ["${FILE%%*}", ""],
    ["${FILE#}", "a.tar.gz"],
    ["${FILE%}", "a.tar.gz"],
    ["${FILE##}", "a.tar.gz"],
    ["${FILE:%.gz}", "a.tar"],
    ["${FILE:#a.}", "tar.gz"],
    ["${PATHS##*/}", "bin"],
    ["${PATHS%/*}", "/usr/local"],
    ["${PATHS#/*/}", "local/bin"],
    ["${PATHS%%/*}", ""],
    ["${PATHS#/usr}", "/local/bin"],
    ["${PATHS%$UNSET}", "/usr/local/bin"],
    ["${PATHS%/$_x1}", "/usr/local/bin"],
    ["${ABAB#a*b}", "ab"],
    ["${ABAB##a*b}", ""],
    ["${ABAB%a*b}", "ab"],
    ["${ABAB%%a*b}", ""],
    ["${STARS#a\\*}", "b?c\\d"],
    ["${STARS#a\\*b\\?}", "c\\d"],
    ["${STARS%\\\\d}", "a*b?c"],
    ["${REGEX#a.b}", "(c)[d]{e}^f+g|h"],
    ["${REGEX#a?b}", "(c)[d]{e}^f+g|h"],
    ["${REGEX%|h}", "a.b(c)[d]{e}^f+g"],
    ["${REGEX#axb}", "a.b(c)[d]{e}^f+g|h"],
    ["${REGEX##*{e\\}}", "^f+g|h"],
    ["${KO#한}", "국어"],
    ["${KO%?}", "한국"],
    ["${UNSET#a}", ""],
    ["${UNSET%a}", ""],
    ["${FILE/a/b}", "b.tar.gz"],
    ["${FILE//a/b}", "b.tbr.gz"],
    ["${FILE/x/b}", "a.tar.gz"],
    ["${FILE/./}", "atar.gz"],
    ["${FILE//./}", "atargz"],
    ["${FILE//./-}", "a-tar-gz"],
    ["${FILE/.*/}", "a"],
    ["${FILE/*./}", "gz"],
    ["${FILE//?/x}", "xxxxxxxx"],
    ["${FILE/?/x}", "x.tar.gz"],
    ["${FILE/*/x}", "x"],
    ["${FILE//*/x}", "x"],
    ["${ABAB/ab/x}", "xab"],
    ["${ABAB//ab/x}", "xx"],
    ["${ABAB//b/}", "aa"],
    ["${ABAB//bb/x}", "abab"],
    ["${ABAB//$UNSET/-}", "-a-b-a-b-"],
    ["${PATHS/\\/usr/x}", "x/local/bin"],
    ["${PATHS//\\//-}", "-usr-local-bin"],
    ["${PATHS/local/$SHELL}", "/usr/bash/bin"],
    ["${PATHS/$SHELL/x}", "/usr/local/bin"],
    ["${SHELL/bash/${PWD/home/h}}", "/h"],
    ["${REGEX//[d]/x}", "a.b(c)x{e}^f+g|h"],
    ["${REGEX//./x}", "axb(c)[d]{e}^f+g|h"],
    ["${KO/국/x}", "한x어"],
    ["${UNSET/a/b}", ""],
    ["${UNSET//a/b}", ""],
    ["${SHELL/bash/a$1b}", "ab"],
  ])("%j is %j", (text, expected) => expect(expand(text)).toBe(expected));

  test.each([
    ["${FILE/a}", /missing '\/'/],
    ["${FILE/a/b", /missing '}'/],
    ["${FILE#a", /missing '}'/],
    ["${FILE#\\a}", /invalid escape '\\a'/],
    ["${FILE//\\x/y}", /invalid escape/],
    ["${FILE%\\", /missing '}'/],
  ])("%j is wrong", (text, why) => expect(() => expand(text)).toThrow(why));
});

describe("words", () => {
  test.each<[string, string[]]>([
    ["", []],
    ["  ", []],
    ["a b", ["a", "b"]],
    ["  a \t b  ", ["a", "b"]],
    ["'a b' c", ["a b", "c"]],
    ['"a b"c d', ["a bc", "d"]],
    ["a\\ b c", ["a b", "c"]],
    ["$TWO", ["a", "b"]],
    ["x$TWO", ["xa", "b"]],
    ["${TWO}x", ["a", "bx"]],
    ['"$TWO"', ["a b"]],
    ["'$TWO'", ["$TWO"]],
    ["$SPACED", ["a", "b"]],
    ["x${SPACED}y", ["x", "a", "b", "y"]],
    ["$EMPTY", []],
    ["'' a", ["a"]],
    ["$UNSET a", ["a"]],
    ["${UNSET:-1 2} 3", ["1", "2", "3"]],
    ["${UNSET:-'1 2'}", ["1", "2"]],
    ["$NL", ["a", "b"]],
    ["$KO x", ["한국어", "x"]],
  ])("%j is %j", (text, expected) => expect(expandWord(text, ENV).words).toEqual(expected));
});

describe("options", () => {
  test.each<[string, ExpandOptions, string]>([
    ["'a' \"b\"", { keepQuotes: true }, "'a' \"b\""],
    ["a\\ b", { keepEscapes: true }, "a\\ b"],
    ["$PWD '$PWD'", { plainQuotes: true }, "/home '/home'"],
    ["it's", { plainQuotes: true }, "it's"],
    ['"\\$PWD"', { plainQuotes: true }, '"$PWD"'],
    ["$UNSET ${UNSET:-x} $PWD", { keepUnset: true }, "$UNSET ${UNSET:-x} /home"],
    ["${UNSET}", { keepUnset: true }, "${UNSET}"],
  ])("%j with %o is %j", (text, options, expected) => expect(expand(text, options)).toBe(expected));

  test("tells which variables are not set", () => {
    const { unset } = expandWord("$PWD $A ${B:-$C} ${EMPTY} '$D' ${F#x}", ENV);
    expect([...unset].toSorted()).toEqual(["A", "B", "C", "F"]);
  });
});

describe("bounds", () => {
  test("a result does not grow without end", () => {
    const env = new Map([["a", "x".repeat(100_000)]]);
    expect(() => expandWord("$a$a", env)).toThrow(/longer than/);
    expect(expandWord("$a$a", env, { maxLength: 1e6 }).text).toHaveLength(200_000);
  });

  test("nesting has an end", () => {
    const nested = (depth: number) => "${u:-".repeat(depth) + "}".repeat(depth);
    expect(expand(nested(100))).toBe("");
    expect(() => expand(nested(101))).toThrow(/nested too deeply/);
    expect(() => expand(nested(100_000))).toThrow(/nested too deeply/);
  });

  test("a pattern that would send a regular expression around for years ends at once", () => {
    const env = new Map([["a", "a".repeat(20_000)]]);
    expect(expandWord(`\${a#${"*a".repeat(40)}b}`, env).text).toHaveLength(20_000);
    expect(expandWord(`\${a//${"*a".repeat(40)}b/x}`, env).text).toHaveLength(20_000);
    expect(() => expandWord(`\${a#${"*".repeat(2000)}}`, env)).toThrow(/longer than/);
  });
});
