export { parseSsh } from "./parse-ssh.js";
export { relayRequest } from "./relay.js";
export { openSshAgent, type SshAgent } from "./ssh-agent.js";
