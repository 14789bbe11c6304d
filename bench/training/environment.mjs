// PyTorch in a virtual environment of its own under bench/.venv (not committed): made once, and again when requirements.txt changes.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const REQUIREMENTS = fileURLToPath(new URL('requirements.txt', import.meta.url));
const FOLDER = fileURLToPath(new URL('../.venv/training', import.meta.url));
/** PyPI's Linux wheel brings CUDA's libraries along: some 3 GB to fetch. */
const INSTALL_LIMIT_MS = 900_000;

/** `{ python }`, the interpreter that can import torch, or `{ missing }`, why there is none. */
export async function torchPython(say) {
  const python = join(FOLDER, 'bin', 'python');
  const marker = join(FOLDER, 'made-from.txt');
  const wanted = createHash('sha256')
    .update(await readFile(REQUIREMENTS))
    .digest('hex');
  try {
    if ((await readFile(marker, 'utf8').catch(() => '')) !== wanted) {
      say('P8: installing PyTorch into bench/.venv');
      await rm(FOLDER, { recursive: true, force: true });
      await run('python3', ['-m', 'venv', FOLDER]);
      const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', REQUIREMENTS];
      await run(python, install, { timeout: INSTALL_LIMIT_MS, maxBuffer: 1 << 26 });
      await writeFile(marker, wanted);
    }
    await run(python, ['-c', 'import torch']);
    return { python };
  } catch (error) {
    const lines = String(error.stderr || error.message)
      .trim()
      .split('\n');
    return { missing: lines.at(-1) };
  }
}
