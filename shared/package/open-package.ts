// Opens what the words "a model" mean on a command line: a folder with a model.yaml, or a bare .onnx file. Reads, checks
// and hashes; loading and running the graphs is somebody else's.
import type { Stats } from 'node:fs';
import * as fs from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { manifestDigest, packagePathSchema } from '../wire/manifest.js';
import type { ModelYaml } from '../wire/model-yaml.js';
import { deriveModelYaml, modelNameFrom } from './derive-model-yaml.js';
import { hashFiles, lieOf, listFiles } from './list-files.js';
import type { GraphSignature, ModelPackage } from './model-package.js';
import { PackageError } from './package-error.js';
import { LIMIT_MODEL_YAML_BYTES, readModelYaml } from './read-model-yaml.js';

export const MODEL_YAML = 'model.yaml';

export interface OpenPackageDeps {
  /** Inputs and outputs of an .onnx file, read from the file; needed for a bare one. */
  inspect(onnxPath: string): Promise<GraphSignature>;
}

interface OpenPackageOptions {
  /** The model's name where there is no model.yaml to say it; default: from the file's name. */
  readonly name?: string;
  readonly signal?: AbortSignal;
}

/**
 * Opens a package folder, or an .onnx file as a package of its own. Rejects with PackageError naming file, line and
 * field; with `inspect`'s error for an .onnx file that can't be read.
 */
export async function openPackage(
  path: string,
  deps: OpenPackageDeps,
  options: OpenPackageOptions = {},
): Promise<ModelPackage> {
  const absolute = resolve(path);
  const stat = await statOrUndefined(absolute);
  if (stat === undefined) throw new PackageError('not-found', 'does not exist', { file: path });
  if (stat.isDirectory()) return openFolder(absolute, options);
  if (stat.isFile() && absolute.toLowerCase().endsWith('.onnx')) return openBareGraph(absolute, deps, options);
  throw new PackageError('not-a-package', 'is neither a folder with a model.yaml nor an .onnx file', { file: path });
}

async function openFolder(folder: string, { signal }: OpenPackageOptions): Promise<ModelPackage> {
  const stat = await statOrUndefined(join(folder, MODEL_YAML), fs.lstat);
  if (stat === undefined) throw new PackageError('not-a-package', `has no ${MODEL_YAML}`, { file: folder });
  if (!stat.isFile()) throw new PackageError('invalid-file', 'is no plain file', { file: MODEL_YAML });
  if (stat.size > LIMIT_MODEL_YAML_BYTES) {
    const message = `is ${stat.size} bytes; at most ${LIMIT_MODEL_YAML_BYTES} are allowed`;
    throw new PackageError('too-large', message, { file: MODEL_YAML });
  }
  const yaml = readModelYaml(await fs.readFile(join(folder, MODEL_YAML), 'utf8'), MODEL_YAML);
  const paths = await listFiles(folder);
  checkNamedFiles(yaml, paths);
  return packageOf(yaml, true, folder, paths, signal);
}

async function openBareGraph(
  path: string,
  { inspect }: OpenPackageDeps,
  options: OpenPackageOptions,
): Promise<ModelPackage> {
  const [folder, file] = [dirname(path), basename(path)];
  const signature = await inspect(path);
  const yaml = deriveModelYaml(options.name ?? modelNameFrom(file), file, signature);
  const external = [...new Set(signature.externalData ?? [])];
  for (const data of external) {
    const inside = packagePathSchema.safeParse(data).success;
    if (!inside) throw new PackageError('invalid-file', `names external data outside its folder: ${data}`, { file });
    const stat = await fs.lstat(join(folder, data)).catch(() => undefined);
    if (!stat?.isFile()) throw new PackageError('not-found', `names external data that is no file: ${data}`, { file });
  }
  const paths = [file, ...external].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return packageOf(yaml, false, folder, paths, options.signal);
}

/** Files that the yaml names itself; those that step parameters name are missed when the step is prepared. */
function checkNamedFiles(yaml: ModelYaml, paths: readonly string[]): void {
  const has = new Set(paths);
  const missing = (field: string, file: string): PackageError =>
    new PackageError('not-found', `the package has no file '${file}'`, { file: MODEL_YAML, field });
  for (const [index, node] of yaml.pipeline.entries()) {
    if ('graph' in node && !has.has(node.graph)) throw missing(`pipeline.${index}.graph`, node.graph);
  }
  if (yaml.goldens && !has.has(yaml.goldens.file)) throw missing('goldens.file', yaml.goldens.file);
}

async function packageOf(
  yaml: ModelYaml,
  hasYaml: boolean,
  folder: string,
  paths: readonly string[],
  signal: AbortSignal | undefined,
): Promise<ModelPackage> {
  const lies = new Map<string, string>();
  for (const path of paths) lies.set(path, await lieOf(join(folder, path))); // before hashing: a change meanwhile is seen
  const files = await hashFiles(folder, paths, signal);
  const known = new Set(files.map(({ path }) => path));
  const pathOf = (path: string): string => {
    if (!known.has(path)) throw new PackageError('not-found', `the package has no file '${path}'`, { file: folder });
    return join(folder, path);
  };
  return {
    yaml,
    hasYaml,
    folder,
    files,
    lies,
    versionDigest: manifestDigest({ kind: 'version', model: yaml.name, files: [...files] }),
    read: async (path) => fs.readFile(pathOf(path)),
    pathOf,
  };
}

async function statOrUndefined(
  path: string,
  stat: (path: string) => Promise<Stats> = fs.stat,
): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw cause;
  }
}
