import { createHash, type KeyObject, randomBytes, sign } from "node:crypto";
import { isIP, isIPv6 } from "node:net";
import { bits, field, fields, integer, octets, oid, sequence, set, text, time, yes } from "./der.js";

// RFC 5280; names of the fields as there.
const OID = {
  commonName: "2.5.4.3",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  nameConstraints: "2.5.29.30",
  authorityKeyIdentifier: "2.5.29.35",
  extKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
} as const;
const DNS_NAME = 2;
const IP_ADDRESS = 7;
const DAY_MS = 86_400_000;
/** Clocks differ. */
const EARLIER_MS = 3_600_000;
const SERIAL_BYTES = 16;

/** What a certificate says. Its key is one of the curve P-256. */
export interface CertificateContent {
  commonName: string;
  publicKey: KeyObject;
  issuer: { commonName: string; publicKey: KeyObject; privateKey: KeyObject };
  days: number;
  /** Of a server: DNS names and addresses. Without them it is an authority's, which is good for the loopback alone. */
  names?: readonly string[];
}

/** An X.509 certificate in PEM. */
export function certificate({ commonName, publicKey, issuer, days, names }: CertificateContent): string {
  const now = Date.now();
  const algorithm = sequence(oid(OID.ecdsaWithSha256));
  const content = sequence(
    fields(0, integer(Buffer.from([2]))),
    integer(Buffer.concat([Buffer.from([1]), randomBytes(SERIAL_BYTES - 1)])),
    algorithm,
    name(issuer.commonName),
    sequence(time(new Date(now - EARLIER_MS)), time(new Date(now + days * DAY_MS))),
    name(commonName),
    spki(publicKey),
    fields(
      3,
      sequence(
        extension(OID.subjectKeyIdentifier, octets(keyId(publicKey))),
        extension(OID.authorityKeyIdentifier, sequence(field(0, keyId(issuer.publicKey)))),
        ...(names ? ofServer(names) : ofAuthority()),
      ),
    ),
  );
  const der = sequence(content, algorithm, bits(sign("sha256", content, issuer.privateKey)));
  const lines = der.toString("base64").replace(/.{1,64}/g, "$&\n");
  return `-----BEGIN CERTIFICATE-----\n${lines}-----END CERTIFICATE-----\n`;
}

/** An authority that somebody trusts could vouch for any site: so this one is good for names and addresses of this machine only. */
function ofAuthority(): Buffer[] {
  const permitted = [
    field(DNS_NAME, Buffer.from("localhost")),
    field(IP_ADDRESS, Buffer.from([127, 0, 0, 0, 255, 0, 0, 0])),
    field(IP_ADDRESS, Buffer.concat([addressBytes("::1"), Buffer.alloc(16, 0xff)])),
  ];
  return [
    criticalExtension(OID.basicConstraints, sequence(yes())),
    // keyCertSign and cRLSign: bits 5 and 6.
    criticalExtension(OID.keyUsage, bits(Buffer.from([0b0000_0110]), 1)),
    criticalExtension(OID.nameConstraints, sequence(fields(0, ...permitted.map((each) => sequence(each))))),
  ];
}

function ofServer(names: readonly string[]): Buffer[] {
  const alternatives = names.map((each) =>
    isIP(each) === 0 ? field(DNS_NAME, Buffer.from(each, "latin1")) : field(IP_ADDRESS, addressBytes(each)),
  );
  return [
    criticalExtension(OID.basicConstraints, sequence()),
    // digitalSignature: bit 0.
    criticalExtension(OID.keyUsage, bits(Buffer.from([0b1000_0000]), 7)),
    extension(OID.extKeyUsage, sequence(oid(OID.serverAuth))),
    extension(OID.subjectAltName, sequence(...alternatives)),
  ];
}

function name(commonName: string): Buffer {
  return sequence(set(sequence(oid(OID.commonName), text(commonName))));
}

function extension(id: string, value: Buffer): Buffer {
  return sequence(oid(id), octets(value));
}

function criticalExtension(id: string, value: Buffer): Buffer {
  return sequence(oid(id), yes(), octets(value));
}

function spki(key: KeyObject): Buffer {
  return key.export({ type: "spki", format: "der" });
}

function keyId(key: KeyObject): Buffer {
  return createHash("sha256").update(spki(key)).digest().subarray(0, 20);
}

/** Of the IPv6 addresses only the loopback is ever needed. */
function addressBytes(address: string): Buffer {
  return isIPv6(address) ? Buffer.from([...Array(15).fill(0), 1]) : Buffer.from(address.split(".").map(Number));
}
