import { UsageError } from "../errors.js";
import { type LayerTree, resolveIn } from "./tree/index.js";

const MOST_BYTES = 1024 * 1024;
const MOST_ID = 2 ** 32 - 2;

/**
 * What `--chown` says, by docker's rules: names are looked up in the image's own files; a user without a group brings its own group, a number
 * alone is both.
 * @throws UsageError
 */
export async function parseOwner(text: string, image: LayerTree): Promise<{ uid: number; gid: number }> {
  const [user = "", group, ...rest] = text.split(":");
  if (rest.length > 0 || (user === "" && !group)) throw unknown(text, "an owner");
  const own = user === "" ? { uid: 0, gid: 0 } : await findUser(user, image);
  if (!group) return own;
  return { uid: own.uid, gid: isNumber(group) ? idOf(group) : await findGroup(group, image) };
}

async function findUser(user: string, image: LayerTree): Promise<{ uid: number; gid: number }> {
  if (isNumber(user)) return { uid: idOf(user), gid: idOf(user) };
  const line = (await lines("etc/passwd", image)).find(([name]) => name === user);
  const [, , uid, gid] = line ?? [];
  if (uid === undefined || gid === undefined || !isNumber(uid) || !isNumber(gid)) throw unknown(user, "a user");
  return { uid: idOf(uid), gid: idOf(gid) };
}

async function findGroup(group: string, image: LayerTree): Promise<number> {
  const line = (await lines("etc/group", image)).find(([name]) => name === group);
  const gid = line?.[2];
  if (gid === undefined || !isNumber(gid)) throw unknown(group, "a group");
  return idOf(gid);
}

async function lines(path: string, image: LayerTree): Promise<string[][]> {
  const found = await resolveIn(image, path);
  if (found?.node.type !== "file" || found.node.size > MOST_BYTES) return [];
  const chunks: Buffer[] = [];
  for await (const chunk of image.content(found.node)) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  return text.split("\n").map((line) => line.split(":"));
}

function isNumber(text: string): boolean {
  return /^\d{1,10}$/.test(text);
}

function idOf(text: string): number {
  const id = Number(text);
  if (id <= MOST_ID) return id;
  throw new UsageError(`${text} is no user or group id`);
}

function unknown(name: string, what: string): UsageError {
  return new UsageError(`${JSON.stringify(name)} is not ${what} of the image`, {
    hint: "Names are looked up in its /etc/passwd and /etc/group; numbers are taken as they are.",
  });
}
