export { authorityPath, localCertificates, openAuthority } from "./authority.js";
export type { TlsFiles } from "./tls-files.js";
