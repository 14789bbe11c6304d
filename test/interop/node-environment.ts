// Other people's Node packages in an environment of their own, .venv/node (not committed), made from node/package-lock.json: their
// dependencies are not ours. It is made again when the lock file changes.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const here = fileURLToPath(new URL('.', import.meta.url));
const INSTALL_TIMEOUT_MS = 200_000;

/** Loads packages of the environment, made where it isn't there yet. */
export async function nodeEnvironment(): Promise<(name: string) => unknown> {
  const folder = join(here, '.venv', 'node');
  const marker = join(folder, 'made-from.txt');
  const lock = join(here, 'node', 'package-lock.json');
  const wanted = createHash('sha256')
    .update(await readFile(lock))
    .digest('hex');
  if ((await readFile(marker, 'utf8').catch(() => '')) !== wanted) {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    for (const file of ['package.json', 'package-lock.json'])
      await copyFile(join(here, 'node', file), join(folder, file));
    const install = ['ci', '--ignore-scripts', '--no-audit', '--no-fund'];
    await run('npm', install, { cwd: folder, timeout: INSTALL_TIMEOUT_MS });
    await writeFile(marker, wanted);
  }
  return createRequire(join(folder, 'package.json'));
}
