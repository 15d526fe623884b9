export { Egress, type EgressEvent, type EgressOptions, type NetworkOptions } from "./egress.js";
export {
  checkPolicy,
  DEFAULT_EGRESS,
  DNS_ADDRESSES,
  type EgressPolicy,
  type EgressRules,
  HOST_NAME,
} from "./policy.js";
