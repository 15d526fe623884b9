export { openArchive } from "./archive.js";
export { type ModeChange, parseMode } from "./chmod.js";
export { type CopyRules, copyFiles, isFolderName } from "./copy-files.js";
export { type DraftAttributes, LayerDraft } from "./draft.js";
export { draftArchive, draftLayer } from "./draft-archive.js";
