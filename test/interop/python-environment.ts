// Other people's clients in their own virtual environments under test/interop/.venv (not committed), one per requirements
// file: tritonclient and KServe bring the same protobuf package and can't share one. An environment is made again when its
// requirements change. Only a missing Python skips the suites; everything else that goes wrong fails them.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe } from 'vitest';

const run = promisify(execFile);
const here = fileURLToPath(new URL('.', import.meta.url));
const MAKE_TIMEOUT_MS = 400_000;

/** A suite of `clients`, given the interpreter's name. Where this machine has none that is new enough it says what it skips, and why. */
export async function describeWithPython(
  title: string,
  clients: string,
  suite: (python: string) => void,
): Promise<void> {
  const python = await findPython();
  if (python !== undefined) {
    describe(title, () => suite(python));
    return;
  }
  const reason = 'this machine has no Python >= 3.11 with venv';
  console.warn(`SKIPPED: ${clients}: ${reason}`);
  describe.skip(`${title} (${clients}): ${reason}`, () => suite(''));
}

async function findPython(): Promise<string | undefined> {
  for (const name of ['python3', 'python']) {
    try {
      const { stdout } = await run(name, ['-c', 'import sys, venv, ensurepip; print(sys.version_info >= (3, 11))']);
      if (stdout.trim() === 'True') return name;
    } catch {
      // not this one
    }
  }
  return undefined;
}

/** Path of the Python in the environment for `requirements-<name>.txt`, made where it isn't there yet. */
export async function pythonEnvironment(python: string, name: string): Promise<string> {
  const requirements = join(here, `requirements-${name}.txt`);
  const folder = join(here, '.venv', name);
  const marker = join(folder, 'made-from.txt');
  const interpreter = join(folder, 'bin', 'python');
  const wanted = createHash('sha256')
    .update(await readFile(requirements))
    .digest('hex');
  if ((await readFile(marker, 'utf8').catch(() => '')) === wanted) return interpreter;
  await rm(folder, { recursive: true, force: true });
  await run(python, ['-m', 'venv', folder]);
  const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', requirements];
  await run(interpreter, install, { timeout: MAKE_TIMEOUT_MS, maxBuffer: 1 << 26 });
  await writeFile(marker, wanted);
  return interpreter;
}
