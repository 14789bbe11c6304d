// Other people's programs in Go, built from the pinned modules of go/go.mod into .venv/go (not committed), all at once since they
// share most of what they are made of. They are built again when a pin changes. Only a missing or an older Go skips the suites; everything
// else that goes wrong fails them.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe } from 'vitest';

const run = promisify(execFile);
const here = fileURLToPath(new URL('.', import.meta.url));
const modules = join(here, 'go');
const BUILD_TIMEOUT_MS = 400_000;
/** For a hook that builds. */
export const GO_TIMEOUT_MS = BUILD_TIMEOUT_MS + 20_000;
const PACKAGES = ['./collector', 'github.com/grpc-ecosystem/grpc-health-probe'];
const PINS = ['go.mod', 'go.sum', 'collector/main.go'];

type GoProgram = 'collector' | 'grpc-health-probe';

/** A suite of `programs`. Where this machine has no Go that is new enough it says what it skips, and why. */
export async function describeWithGo(title: string, programs: string, suite: () => void): Promise<void> {
  const wanted = /^go (\d+\.\d+)/m.exec(await readFile(join(modules, 'go.mod'), 'utf8'))?.[1] ?? '';
  if (await hasGo(wanted)) {
    describe(title, suite);
    return;
  }
  const reason = `this machine has no Go >= ${wanted}`;
  console.warn(`SKIPPED: ${programs}: ${reason}`);
  describe.skip(`${title} (${programs}): ${reason}`, suite);
}

async function hasGo(wanted: string): Promise<boolean> {
  try {
    const { stdout } = await run('go', ['env', 'GOVERSION'], { env: environment() });
    return stdout.replace('go', '').localeCompare(wanted, 'en', { numeric: true }) >= 0;
  } catch {
    return false;
  }
}

/** Path of the program, built where it isn't there yet: about 60 s of processor time the first time. */
export async function goProgram(name: GoProgram): Promise<string> {
  const folder = join(here, '.venv', 'go');
  const marker = join(folder, 'made-from.txt');
  const hash = createHash('sha256');
  for (const pin of PINS) hash.update(await readFile(join(modules, pin)));
  const wanted = hash.digest('hex');
  if ((await readFile(marker, 'utf8').catch(() => '')) !== wanted) {
    await rm(folder, { recursive: true, force: true });
    const build = ['build', '-trimpath', '-buildvcs=false', '-ldflags', '-s -w', '-o', `${folder}/`, ...PACKAGES];
    await run('go', build, { cwd: modules, env: environment(), timeout: BUILD_TIMEOUT_MS, maxBuffer: 1 << 26 });
    await writeFile(marker, wanted);
  }
  return join(folder, name);
}

/** No other toolchain than the one that is here, no other modules than those that are pinned, no C. */
function environment(): NodeJS.ProcessEnv {
  return { ...process.env, GOTOOLCHAIN: 'local', GOFLAGS: '-mod=readonly', CGO_ENABLED: '0' };
}
