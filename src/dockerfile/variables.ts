/** Whether a text refers to a variable, so that it cannot be understood before the build's arguments are known. */
export function hasVariable(text: string): boolean {
  return /\$[\p{L}\p{Nd}_{]/u.test(text);
}
