// The package of a trained version: its parent's files with the graph replaced, the label in model.yaml changed, and the goldens renewed
// where they hold the model's own numbers. Files that stay are links to the parent's, which nobody writes to. The trained graph is
// one file, so external data that only the old graph read are left out.
import * as fs from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import { decodeModel } from '@tidegate/shared/onnx/model-codec.js';
import { validateModel } from '@tidegate/shared/onnx/validate-model.js';
import { listFiles } from '@tidegate/shared/package/list-files.js';
import { MODEL_YAML } from '@tidegate/shared/package/open-package.js';
import { readModelYaml } from '@tidegate/shared/package/read-model-yaml.js';
import { relabelModelYaml } from '@tidegate/shared/package/relabel-model-yaml.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Files } from '@tidegate/shared/system/files.js';
import type { ModelYaml } from '@tidegate/shared/wire/model-yaml.js';
import { renewedGoldens, type RunPackage } from './renew-goldens.js';

export interface Composition {
  /** Emptied first. */
  readonly to: string;
  readonly parentFolder: string;
  /** The trained graph's file, and the path that it takes in the package. */
  readonly graphFile: string;
  readonly graph: string;
  readonly label: string | undefined;
}

interface ComposeModules {
  readonly files: Files;
  readonly clock: Clock;
  readonly run: RunPackage;
}

/** Rejects with PackageError or OnnxError where the parent's files are no package, and with what running it rejects with. */
export async function composePackage(
  { to, parentFolder, graphFile, graph, label }: Composition,
  { files, clock, run }: ComposeModules,
  signal: AbortSignal,
): Promise<void> {
  await fs.rm(to, { recursive: true, force: true });
  const text = await fs.readFile(join(parentFolder, MODEL_YAML), 'utf8');
  const unused = await unusedWithout(graph, readModelYaml(text), parentFolder);
  for (const path of await listFiles(parentFolder)) {
    if (path === graph || path === MODEL_YAML || unused.has(path)) continue;
    await place(files, join(parentFolder, path), join(to, path));
  }
  await place(files, graphFile, join(to, graph));
  await files.writeAtomic('job.yaml', join(to, MODEL_YAML), relabelModelYaml(text, label));
  const goldens = await renewedGoldens(to, run, clock, signal);
  const { goldens: settings } = readModelYaml(text);
  // writeAtomic puts a new file in the link's place; the parent's stays.
  if (goldens !== undefined && settings !== undefined)
    await files.writeAtomic('job.goldens', join(to, settings.file), goldens);
}

async function place(files: Files, from: string, to: string): Promise<void> {
  await fs.mkdir(dirname(to), { recursive: true });
  await files.link('job.link', from, to);
}

/** External data files that only the replaced graph reads. */
async function unusedWithout(graph: string, yaml: ModelYaml, folder: string): Promise<Set<string>> {
  const graphs = new Set(yaml.pipeline.flatMap((node) => ('graph' in node ? [node.graph] : [])));
  const unused = new Set(await externalFilesOf(folder, graph));
  for (const other of graphs) {
    if (other === graph) continue;
    for (const path of await externalFilesOf(folder, other)) unused.delete(path);
  }
  return unused;
}

async function externalFilesOf(folder: string, graph: string): Promise<string[]> {
  const { externalFiles } = validateModel(decodeModel(await fs.readFile(join(folder, graph))));
  return externalFiles.map(({ path }) => posix.join(posix.dirname(graph), path));
}
