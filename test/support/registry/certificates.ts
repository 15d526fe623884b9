import { join } from "node:path";
import { execa } from "execa";

/** Files of a key and a certificate in PEM form. */
export interface KeyPair {
  key: string;
  certificate: string;
}

/** A certificate authority of a test's own. */
export function makeAuthority(folder: string): Promise<KeyPair> {
  return selfSigned(folder, "authority", ["-addext", "basicConstraints=critical,CA:TRUE"]);
}

/** A self-signed certificate for signing tokens. */
export function makeSigner(folder: string): Promise<KeyPair> {
  return selfSigned(folder, "signer", []);
}

/** A server's certificate for these names (`DNS:localhost`, `IP:127.0.0.1`), issued by the authority. */
export async function makeServerCertificate(folder: string, authority: KeyPair, names: string[]): Promise<KeyPair> {
  const key = join(folder, "server.key");
  const request = join(folder, "server.csr");
  const certificate = join(folder, "server.crt");
  const subject = ["-subj", "/CN=supermachine test server", "-addext", `subjectAltName=${names.join(",")}`];
  await execa("openssl", ["req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, ...subject]);
  const issuer = ["-CA", authority.certificate, "-CAkey", authority.key, "-CAcreateserial"];
  await execa("openssl", [
    ...["x509", "-req", "-in", request, "-out", certificate, "-days", "2", "-copy_extensions", "copy"],
    ...issuer,
  ]);
  return { key, certificate };
}

async function selfSigned(folder: string, name: string, more: string[]): Promise<KeyPair> {
  const key = join(folder, `${name}.key`);
  const certificate = join(folder, `${name}.crt`);
  await execa("openssl", [
    ...["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2"],
    ...["-subj", `/CN=supermachine test ${name}`],
    ...more,
  ]);
  return { key, certificate };
}
