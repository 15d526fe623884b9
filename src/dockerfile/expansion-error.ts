/** What is wrong with a word; whoever knows its place says where. */
export class ExpansionError extends Error {}
