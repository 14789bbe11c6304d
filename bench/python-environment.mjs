// Other people's Python packages, each set in a virtual environment of its own under bench/.venv (not committed): made once, and again
// when its requirements change. What can't be had is a reason to skip a row, never a failure.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ENVIRONMENTS = fileURLToPath(new URL('.venv', import.meta.url));
/** PyTorch's Linux wheel brings CUDA's libraries along: some 3 GB to fetch. */
const INSTALL_LIMIT_MS = 900_000;

/**
 * The environment `name` with what the file `requirements` (a URL) lists: `{ folder, python }`, or `{ missing }`, why there is none.
 * `imports`: the module that must load.
 */
export async function pythonEnvironment(name, requirements, imports, say) {
  const folder = join(ENVIRONMENTS, name);
  const python = join(folder, 'bin', 'python');
  const marker = join(folder, 'made-from.txt');
  const path = fileURLToPath(requirements);
  const wanted = createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
  try {
    if ((await readFile(marker, 'utf8').catch(() => '')) !== wanted) {
      say(`installing ${imports} into bench/.venv/${name}`);
      await rm(folder, { recursive: true, force: true });
      await run('python3', ['-m', 'venv', folder]);
      const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', path];
      await run(python, install, { timeout: INSTALL_LIMIT_MS, maxBuffer: 1 << 26 });
      await writeFile(marker, wanted);
    }
    await run(python, ['-c', `import ${imports}`]);
    return { folder, python };
  } catch (error) {
    return { missing: lastLine(error) };
  }
}

/** `{ version, packages, libraries, versions }`: 3.11, where its packages and its own libraries lie, and the versions of `names` as text. */
export async function pythonInfo(python, names) {
  const script = `
import importlib.metadata, json, sys, sysconfig
versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ${JSON.stringify(names)})
print(json.dumps({"version": "%d.%d" % sys.version_info[:2], "packages": sysconfig.get_path("purelib"),
                  "libraries": sysconfig.get_config_var("LIBDIR"), "versions": versions}))`;
  return JSON.parse((await run(python, ['-c', script])).stdout);
}

/** What a failed command said last. */
export function lastLine(error) {
  const lines = String(error.stderr || error.message)
    .trim()
    .split('\n');
  return lines.at(-1);
}
