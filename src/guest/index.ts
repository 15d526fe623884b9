export { Agent, type ConnectOptions, type SessionIdentity } from "./agent.js";
export type { AssembleRequest, ExtraFile } from "./assemble.js";
export { errnoName, errnoNumber, signalName, signalNumber } from "./errno.js";
export { ExecFailure, type FailureStage } from "./failure.js";
export type { FileContent, ReadOptions, WriteOptions } from "./files.js";
export type { FuseHandler, FuseOutput, FuseRequest } from "./fuse.js";
export type { ExecRequest, ExitStatus, GuestProcess } from "./process.js";
