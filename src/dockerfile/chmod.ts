/** Whether `--chmod` can be this: octal digits up to 7777, or what chmod(1) takes. */
export function isMode(text: string): boolean {
  if (/^\d+$/.test(text)) return /^0*[0-7]{1,4}$/.test(text);
  return /^(?:[ugoa]*(?:[-+=](?:[rwxXst]*|[ugo]))+)(?:,[ugoa]*(?:[-+=](?:[rwxXst]*|[ugo]))+)*$/.test(text);
}
