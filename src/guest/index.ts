export { Agent, type ConnectOptions, type SessionIdentity } from "./agent.js";
export type { AssembleRequest, ExtraFile } from "./assemble.js";
export { errnoName, errnoNumber, signalName, signalNumber } from "./errno.js";
export type { ExecRequest, ResourceLimit } from "./exec-request.js";
export { ExecFailure, type FailureStage } from "./failure.js";
export type { FileContent, ReadOptions, WriteOptions } from "./files.js";
export type { FuseHandler, FuseOutput, FuseRequest } from "./fuse.js";
export type { ExitStatus, GuestProcess } from "./process.js";
export type { ProcessInfo } from "./processes.js";
