// Triton's perf_analyzer, the program itself, from its wheel in .venv/perf-analyzer (not committed). It is built for glibc 2.38: where the
// machine has an older one and Debian's packages can be had, it runs on the C library of a newer Debian, by that one's loader; nothing is
// installed. It is made again when the pins change.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const here = fileURLToPath(new URL('.', import.meta.url));
const requirements = join(here, 'requirements-perf-analyzer.txt');
const folder = join(here, '.venv', 'perf-analyzer');
const libraries = join(folder, 'libraries');
const MAKE_TIMEOUT_MS = 200_000;
const GLIBC_WANTED = 2.38;
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const SOURCE = `deb [signed-by=${KEYRING}] http://deb.debian.org/debian trixie main\n`;
const DEBIAN_PACKAGES = ['libc6', 'libstdc++6', 'libgcc-s1', 'libssl3t64', 'libzstd1', 'zlib1g'];
const DEBIAN_LIBRARIES = join(folder, 'debian', 'usr', 'lib', 'x86_64-linux-gnu');

type PerfAnalyzer =
  | { readonly program: string; readonly args: readonly string[]; readonly environment: NodeJS.ProcessEnv }
  | { readonly missing: string };

/** How to run it, made where it isn't there yet; or why this machine can't. */
export async function perfAnalyzer(python: string): Promise<PerfAnalyzer> {
  const { glibcVersionRuntime } = (process.report.getReport() as { header: { glibcVersionRuntime?: string } }).header;
  if (process.arch !== 'x64' || glibcVersionRuntime === undefined) return { missing: 'no Linux on x64 with glibc' };
  const [, minor = 0] = glibcVersionRuntime.split('.').map(Number);
  const old = 2 + minor / 100 < GLIBC_WANTED;
  const marker = join(folder, 'made-from.txt');
  const wanted = createHash('sha256')
    .update(await readFile(requirements))
    .digest('hex');
  if ((await readFile(marker, 'utf8').catch(() => '')) !== wanted) {
    await unpackWheels(python);
    if (old) {
      const why = await unpackDebian();
      if (why !== undefined) return { missing: `glibc ${glibcVersionRuntime} instead of ${GLIBC_WANTED}, and ${why}` };
    }
    await writeFile(marker, wanted);
  }
  const binary = join(folder, 'wheels', 'perf_analyzer', 'bin', 'perf_analyzer');
  if (!old) return { program: binary, args: [], environment: { ...process.env, LD_LIBRARY_PATH: libraries } };
  const args = ['--library-path', `${DEBIAN_LIBRARIES}:${libraries}`, binary];
  return { program: join(DEBIAN_LIBRARIES, 'ld-linux-x86-64.so.2'), args, environment: process.env };
}

async function unpackWheels(python: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(libraries, { recursive: true });
  const platforms = ['manylinux_2_38_x86_64', 'manylinux2014_x86_64'].flatMap((name) => ['--platform', name]);
  const wheels = join(folder, 'wheels');
  const download = ['-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary=:all:', ...platforms];
  await run(python, [...download, '-d', folder, '-r', requirements], { timeout: MAKE_TIMEOUT_MS });
  for (const wheel of (await readdir(folder)).filter((name) => name.endsWith('.whl'))) {
    await run(python, ['-m', 'zipfile', '-e', join(folder, wheel), wheels]);
  }
  await chmod(join(wheels, 'perf_analyzer', 'bin', 'perf_analyzer'), 0o755);
  const cuda = join(wheels, 'nvidia', 'cuda_runtime', 'lib', 'libcudart.so.12');
  await symlink(cuda, join(libraries, 'libcudart.so'));
}

/** Undefined = done; else why not. */
async function unpackDebian(): Promise<string | undefined> {
  const apt = join(folder, 'apt');
  for (const name of ['lists/partial', 'cache/archives/partial']) await mkdir(join(apt, name), { recursive: true });
  await writeFile(join(apt, 'sources.list'), SOURCE);
  await writeFile(join(apt, 'status'), '');
  const settings = {
    'Dir::Etc::SourceList': join(apt, 'sources.list'),
    'Dir::Etc::SourceParts': join(apt, 'none'),
    'Dir::State::Lists': join(apt, 'lists'),
    'Dir::State::status': join(apt, 'status'),
    'Dir::Cache': join(apt, 'cache'),
    'APT::Sandbox::User': 'root',
    'Debug::NoLocking': 'true',
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  try {
    const within = { cwd: apt, timeout: MAKE_TIMEOUT_MS };
    await run('apt-get', [...options, '-qq', 'update'], within);
    await run('apt-get', [...options, '-qq', 'download', ...DEBIAN_PACKAGES], within);
    for (const name of (await readdir(apt)).filter((file) => file.endsWith('.deb'))) {
      await run('dpkg-deb', ['-x', join(apt, name), join(folder, 'debian')]);
    }
  } catch (error) {
    return `Debian's packages can't be had: ${(error as Error).message.split('\n').slice(0, 2).join(' ')}`;
  }
  await rm(apt, { recursive: true });
  return undefined;
}
