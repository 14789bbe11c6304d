// Runs a script of python/ and reads the outcome of each of its checks.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';

const folder = fileURLToPath(new URL('./python/', import.meta.url));
const SCRIPT_TIMEOUT_MS = 100_000;

interface Outcome {
  readonly check: string;
  readonly ok: boolean;
  readonly error?: string;
}

/** Prints `<client>: N checks passed`; fails the test with every failed check's text. */
export async function runPythonChecks(
  client: string,
  python: string,
  script: string,
  args: readonly string[],
  checksMin: number,
  environment: Readonly<Record<string, string>> = {},
): Promise<void> {
  const child = spawn(python, [join(folder, script), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1', ...environment },
    timeout: SCRIPT_TIMEOUT_MS,
  });
  const outcomes: Outcome[] = [];
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(-20_000)));
  createInterface(child.stdout).on('line', (line) => {
    if (line.startsWith('{"check"')) outcomes.push(JSON.parse(line) as Outcome);
  });
  const code = await new Promise((resolve) => child.once('close', resolve));
  const failed = outcomes.filter(({ ok }) => !ok);
  console.log(`${client}: ${outcomes.length - failed.length} checks passed, ${failed.length} failed`);
  expect(failed.map(({ check, error }) => `${check}\n${error}`).join('\n')).toBe('');
  expect(code, errors).toBe(0);
  expect(outcomes.length).toBeGreaterThanOrEqual(checksMin);
}
