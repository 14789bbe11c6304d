// What `tidegate-agent serve PATH...` finds under a path (contract.md): an .onnx file, a package folder, a folder of
// either, or a model repository NAME/VERSION/model.onnx (Triton's layout), of which the highest version number counts.
import type { Dirent } from 'node:fs';
import * as fs from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { modelNameFrom } from './derive-model-yaml.js';
import { MODEL_YAML } from './open-package.js';
import { PackageError } from './package-error.js';

const LIMIT_FOUND_PACKAGES = 1000;

export interface FoundPackage {
  /** What openPackage takes: a folder with a model.yaml, or an .onnx file. */
  readonly path: string;
  /** The model's name where the place says it and no model.yaml does. */
  readonly name?: string;
  /** The version's number in a model repository. */
  readonly version?: string;
}

/** In order of names. Rejects with PackageError `not-found`, `not-a-package` where there is nothing to serve. */
export async function findPackages(path: string): Promise<FoundPackage[]> {
  const absolute = resolve(path);
  const stat = await fs.stat(absolute).catch((cause: NodeJS.ErrnoException) => {
    throw new PackageError('not-found', 'does not exist or can not be read', { file: path }, { cause });
  });
  if (stat.isFile()) {
    if (isGraph(absolute)) return [{ path: absolute, name: modelNameFrom(basename(absolute)) }];
    throw new PackageError('not-a-package', 'is a file, but not an .onnx file', { file: path });
  }
  const self = (await asPackage(absolute)) ?? (await newestVersion(absolute));
  if (self !== undefined) return [self];
  const found = await inFolder(absolute);
  if (found.length === 0) {
    const expected = `an .onnx file, a folder with a ${MODEL_YAML}, or NAME/VERSION/model.onnx`;
    throw new PackageError('not-a-package', `holds nothing to serve; expected ${expected}`, { file: path });
  }
  return found;
}

async function inFolder(folder: string): Promise<FoundPackage[]> {
  const found: FoundPackage[] = [];
  for (const entry of await entriesOf(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      const one = (await asPackage(path)) ?? (await newestVersion(path));
      if (one !== undefined) found.push(one);
    } else if (entry.isFile() && isGraph(path)) {
      found.push({ path, name: modelNameFrom(entry.name) });
    }
    if (found.length > LIMIT_FOUND_PACKAGES) {
      throw new PackageError('too-large', `holds more than ${LIMIT_FOUND_PACKAGES} models`, { file: folder });
    }
  }
  return found;
}

async function asPackage(folder: string): Promise<FoundPackage | undefined> {
  return (await isFile(join(folder, MODEL_YAML))) ? { path: folder } : undefined;
}

/** NAME/VERSION/model.onnx, or a package as NAME/VERSION/: the highest number that holds one. */
async function newestVersion(folder: string): Promise<FoundPackage | undefined> {
  const numbers = (await entriesOf(folder))
    .filter((entry) => entry.isDirectory() && /^[0-9]{1,9}$/.test(entry.name))
    .map((entry) => entry.name)
    .sort((a, b) => Number(b) - Number(a));
  for (const version of numbers) {
    const inside = join(folder, version);
    if (await isFile(join(inside, MODEL_YAML))) return { path: inside, version };
    const graph = join(inside, 'model.onnx');
    if (await isFile(graph)) return { path: graph, name: modelNameFrom(basename(folder)), version };
  }
  return undefined;
}

async function entriesOf(folder: string): Promise<Dirent[]> {
  const entries = await fs.readdir(folder, { withFileTypes: true });
  return entries.filter(({ name }) => !name.startsWith('.')).sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function isFile(path: string): Promise<boolean> {
  const stat = await fs.stat(path).catch(() => undefined);
  return stat?.isFile() ?? false;
}

function isGraph(path: string): boolean {
  return path.toLowerCase().endsWith('.onnx');
}
