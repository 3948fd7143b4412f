import { createInterface } from "node:readline";

export const settings = JSON.parse(process.argv[2]);

export function report(object) {
  process.stdout.write(`${JSON.stringify(object)}\n`);
}

/** Runs each command read from standard input, in order; ends the process when there are no more. */
export async function obey(commands) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { command, ...rest } = JSON.parse(line);
    const value = await commands[command](rest);
    if (value !== undefined) report({ answer: command, value });
  }
  process.exit(0);
}
