// model: `npm run model -- NAME...` fetches models of the catalogue; without a name it lists them. Paths go to stdout, all else to stderr.

import { catalog } from "../../models/catalog";
import { isEngineError } from "../errors";
import { type FetchOptions, fetchModel, findFetched } from "./fetch-model";
import { progressPrinter } from "./progress";

/** Returns the process's exit code. @param argv what follows the command's name */
export async function main(argv: string[]): Promise<number> {
  const unknown = argv.find((argument) => argument.startsWith("-"));
  if (unknown) return complain(`Unknown option ${unknown}. Usage: npm run model -- [NAME...]`);
  if (argv.length === 0) return list();
  const controller = new AbortController();
  process.once("SIGINT", () => controller.abort());
  const options: FetchOptions = {
    onProgress: progressPrinter((text) => process.stderr.write(text), process.stderr.isTTY === true),
    say: (line) => process.stderr.write(`${line}\n`),
    signal: controller.signal,
  };
  for (const name of argv) {
    try {
      process.stdout.write(`${await fetchModel(name, options)}\n`);
    } catch (error) {
      if (!isEngineError(error)) throw error;
      return complain(`${error.code}: ${error.message}`);
    }
  }
  return 0;
}

async function list(): Promise<number> {
  for (const entry of catalog) {
    const here = (await findFetched(entry.name)) ? "here" : "not fetched";
    process.stdout.write(
      `${entry.name.padEnd(14)} ${(entry.bytes / 1e6).toFixed(1).padStart(7)} MB  ${here.padEnd(11)}  ${entry.licence}  ${entry.title}. ${entry.notes}\n`,
    );
  }
  return 0;
}

function complain(message: string): number {
  process.stderr.write(`${message}\n`);
  return 1;
}
