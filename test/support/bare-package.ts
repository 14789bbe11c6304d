// The smallest real package: examples/bare's graph (y = x * [1, 2, 3, 4] + 0.5) with a model.yaml and without goldens, so that publishing it
// takes a moment only. `fields` replace those of the model.yaml.
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const BARE_GRAPH = fileURLToPath(new URL('../../examples/bare/scale-and-add.onnx', import.meta.url));

export function bareYaml(name: string, fields: Readonly<Record<string, string>> = {}): string {
  const all = {
    name,
    licence: 'Apache-2.0',
    inputs: '[{ name: x, datatype: FP32, shape: [-1, 4] }]',
    outputs: '[{ name: y, datatype: FP32, shape: [-1, 4] }]',
    pipeline: '[{ graph: m.onnx }]',
    ...fields,
  };
  return Object.entries(all)
    .map(([key, value]) => `${key}: ${value}\n`)
    .join('');
}

/** Writes it into `folder`; returns `folder`. */
export function writeBarePackage(folder: string, name: string, fields: Readonly<Record<string, string>> = {}): string {
  mkdirSync(folder, { recursive: true });
  copyFileSync(BARE_GRAPH, join(folder, 'm.onnx'));
  writeFileSync(join(folder, 'model.yaml'), bareYaml(name, fields));
  return folder;
}
