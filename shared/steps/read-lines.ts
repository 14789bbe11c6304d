// An asset with one entry a line: a dictionary's characters, a classifier's labels.
import { StepError, type StepAssets } from './step.js';

const LIMIT_LINES = 1_000_000;

/** Lines without their ends; a last empty line is no entry. Throws StepError for text that is not UTF-8. */
export async function readLines(step: string, parameter: string, path: string, assets: StepAssets): Promise<string[]> {
  let bytes: Uint8Array;
  try {
    bytes = await assets.read(path);
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new StepError(step, `with.${parameter}: ${message}`, { cause });
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new StepError(step, `with.${parameter}: ${path} is not UTF-8 text`, { cause });
  }
  const lines = text.split('\n').map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  if (lines.at(-1) === '') lines.pop();
  if (lines.length === 0) throw new StepError(step, `with.${parameter}: ${path} is empty`);
  if (lines.length > LIMIT_LINES) {
    throw new StepError(
      step,
      `with.${parameter}: ${path} has ${lines.length} lines; at most ${LIMIT_LINES} are allowed`,
    );
  }
  return lines;
}
