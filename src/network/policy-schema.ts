import * as v from "valibot";

const strings = v.pipe(v.array(v.string()), v.readonly());
const Rules = v.object({
  allow: v.optional(strings),
  deny: v.optional(strings),
  ports: v.optional(v.pipe(v.array(v.union([v.number(), v.string()])), v.readonly())),
  maxBytesPerSecond: v.optional(v.number()),
  dnsServers: v.optional(strings),
});

/** An {@link EgressPolicy} in a file; whether its entries make sense is checked where it is used. */
export const EgressPolicySchema = v.union([v.picklist(["none", "public", "all"]), Rules]);

const Port = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65_535));

/** {@link PublishOptions} in a file. */
export const PublishSchema = v.object({
  guestPort: Port,
  hostPort: v.optional(Port),
  host: v.optional(v.string()),
  protocol: v.optional(v.picklist(["tcp", "udp"])),
});
