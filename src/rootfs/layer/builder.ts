import type { ErofsWriter, FileContent, Leaf } from "../erofs/index.js";
import { Malformed } from "../malformed.js";
import { BLANK_ENTRY, type TarEntry, type TarHandler } from "../tar/index.js";
import { attributesOf } from "./attributes.js";
import { LayerTree, type Place, type TreeLimits } from "./tree.js";
import { applyWhiteouts, parseWhiteout } from "./whiteout.js";

/** Puts the entries of a layer's archive into an EROFS image. */
export class LayerBuilder implements TarHandler {
  readonly #writer: ErofsWriter;
  readonly #tree: LayerTree;
  readonly #hasWhiteouts: boolean;
  #entries = 0;
  #file: { place: Place; entry: TarEntry; content: FileContent } | undefined;
  #whiteout: Leaf | undefined;

  /** @param options `whiteouts: false`: a name that would take another one away is one like any other */
  constructor(writer: ErofsWriter, { limits, whiteouts = true }: { limits?: TreeLimits; whiteouts?: boolean } = {}) {
    this.#writer = writer;
    this.#hasWhiteouts = whiteouts;
    this.#tree = new LayerTree((leaf) => writer.link(leaf, -1), limits);
  }

  /** Entries so far, of every kind. */
  get entries(): number {
    return this.#entries;
  }

  entry(entry: TarEntry): void {
    this.#entries++;
    const place = this.#tree.locate(entry.name);
    if (place && this.#whiteOut(place)) return;
    if (entry.type === "directory") this.#tree.putDirectory(place, attributesOf(entry));
    else if (!place) throw new Malformed("it replaces the root by something that is not a directory");
    else if (entry.type === "file") this.#file = { place, entry, content: this.#writer.beginFile(entry.size) };
    else if (entry.type === "hardlink") this.#hardLink(place, entry);
    else this.#tree.putLeaf(place, this.#leaf(entry));
  }

  data(bytes: Buffer): void {
    this.#file?.content.data(bytes);
  }

  hole(length: number): void {
    this.#file?.content.hole(length);
  }

  end(): void {
    if (!this.#file) return;
    const { place, entry, content } = this.#file;
    this.#file = undefined;
    this.#tree.putLeaf(place, this.#writer.addFile(attributesOf(entry), entry.size, content));
  }

  /** Completes the image; gives its size in bytes. */
  finish(uuid: Uint8Array, volumeName: string): Promise<number> {
    const { root } = this.#tree;
    if (this.#hasWhiteouts) {
      applyWhiteouts(
        root,
        () => this.#sharedWhiteout(),
        (leaf) => this.#writer.link(leaf, -1),
      );
    }
    return this.#writer.finish(root, { uuid, volumeName });
  }

  #whiteOut({ directory, name }: Place): boolean {
    const whiteout = this.#hasWhiteouts ? parseWhiteout(name) : undefined;
    if (whiteout?.kind === "opaque") directory.opaque = true;
    else if (whiteout) this.#tree.whiteOut(directory, whiteout.name);
    return whiteout !== undefined;
  }

  #hardLink(place: Place, entry: TarEntry): void {
    const target = this.#tree.hardLinkTarget(entry.linkName);
    if (place.directory.children.get(place.name) === target) return;
    this.#writer.link(target, 1);
    this.#tree.putLeaf(place, target);
  }

  #leaf(entry: TarEntry): Leaf {
    const attributes = attributesOf(entry);
    if (entry.type === "symlink") return this.#writer.addSymlink({ ...attributes, mode: 0o777 }, entry.linkName);
    if (entry.type === "fifo") return this.#writer.addSpecial("fifo", attributes);
    const type = entry.type === "block" ? "block" : "char";
    return this.#writer.addSpecial(type, attributes, entry.major, entry.minor);
  }

  #sharedWhiteout(): Leaf {
    if (this.#whiteout) this.#writer.link(this.#whiteout, 1);
    else this.#whiteout = this.#writer.addSpecial("char", attributesOf(WHITEOUT));
    return this.#whiteout;
  }
}

const WHITEOUT: TarEntry = { ...BLANK_ENTRY, type: "char" };
