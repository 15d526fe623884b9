export { Dialer, type DialOptions } from "./dialer.js";
export { Egress, type EgressEvent, type EgressOptions, type NetworkOptions } from "./egress.js";
export { type ExposedPort, type ExposeOptions, exposeTcp, exposeUdp } from "./expose.js";
export { checkPort, connectToPort } from "./guest-port.js";
export { type ListeningPort, listeningPorts, watchListeningPorts } from "./listening-ports.js";
export { type PublishOptions, parseEgressPolicy, parsePublish } from "./parse-options.js";
export {
  checkPolicy,
  DEFAULT_EGRESS,
  DNS_ADDRESSES,
  type EgressPolicy,
  type EgressRules,
  HOST_NAME,
} from "./policy.js";
export { EgressPolicySchema, PublishSchema } from "./policy-schema.js";
