const SECRET = /(?:^|_)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)/i;

/** Whether the name of a variable says that its value is secret; one that says `public` does not. */
export function isSecretName(name: string): boolean {
  return SECRET.test(name) && !/(?:^|_)public(?:_|$)/i.test(name);
}
