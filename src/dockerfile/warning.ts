import type { Location } from "./location.js";

/** Something that works and is most likely a mistake. Rules have BuildKit's names where it has them. */
export interface DockerfileWarning {
  rule: WarningRule;
  message: string;
  location: Location;
}

export type WarningRule =
  | "NoEmptyContinuation"
  | "ConsistentInstructionCasing"
  | "StageNameCasing"
  | "FromAsCasing"
  | "DuplicateStageName"
  | "ReservedStageName"
  | "JSONArgsRecommended"
  | "MaintainerDeprecated"
  | "LegacyKeyValueFormat"
  | "MultipleInstructionsDisallowed"
  | "UndefinedVar"
  | "UndefinedArgInFrom"
  | "WorkdirRelativePath"
  | "SecretsUsedInArgOrEnv"
  | "UnusedBuildArg";

export type Warn = (rule: WarningRule, message: string, location: Location) => void;
