// How a package says that requests of a graph may be padded (`ragged` in model.yaml), held against what the graph declares. Pure.
import type { PaddingRule } from '../scheduling/padding-rule.js';
import { tensorDataFromJson } from '../tensor/json-data.js';
import { TensorDataError } from '../tensor/tensor-data-error.js';
import type { TensorSpec } from '../tensor/tensor.js';
import type { ModelYaml } from '../wire/model-yaml.js';
import type { GraphSignature } from './model-package.js';
import { PackageError } from './package-error.js';

/** Undefined for a graph whose inputs may not be padded. Throws PackageError `invalid-model` naming the field. */
export function paddingRule(
  { pipeline }: Pick<ModelYaml, 'pipeline'>,
  graph: string,
  { inputs, outputs }: Pick<GraphSignature, 'inputs' | 'outputs'>,
): PaddingRule | undefined {
  const nodes = [...pipeline.entries()].filter(([, node]) => 'graph' in node && node.graph === graph);
  const [index, node] = nodes.find(([, one]) => 'graph' in one && one.ragged !== undefined) ?? [];
  if (node === undefined || !('graph' in node) || node.ragged === undefined) return undefined;
  const field = `pipeline.${index}.ragged`;
  if (nodes.length > 1) throw wrong(field, `the graph stands in the pipeline ${nodes.length} times; once is allowed`);
  if (node.state !== undefined) throw wrong(field, 'the graph carries state, so its requests share no runs');
  const { tolerance, maxWaste } = node.ragged;
  for (const [kind, specs] of [
    ['inputs', inputs],
    ['outputs', outputs],
  ] as const) {
    for (const [at, { name, axis }] of node.ragged[kind].entries())
      checkFree(specs, name, axis, `${field}.${kind}.${at}`);
    for (const spec of specs) {
      if (spec.shape[0] === -1) continue;
      throw wrong(field, `'${spec.name}' is [${spec.shape.join(', ')}]: without free rows requests share no runs`);
    }
  }
  const padded = node.ragged.inputs.map(({ name, axis, value }, at) => {
    const datatype = inputs.find((spec) => spec.name === name)?.datatype ?? 'FP32';
    if (datatype === 'BYTES') throw wrong(`${field}.inputs.${at}.name`, `'${name}' is BYTES, which can't be padded`);
    return { name, axis, element: elementOf(datatype, value, `${field}.inputs.${at}.value`) };
  });
  return { field, inputs: padded, outputs: node.ragged.outputs, tolerance, maxWaste };
}

function checkFree(specs: readonly TensorSpec[], name: string, axis: number, field: string): void {
  const spec = specs.find((one) => one.name === name);
  if (spec === undefined) throw wrong(`${field}.name`, `the graph has none of that name ('${name}')`);
  if (spec.shape[axis] === -1) return;
  throw wrong(`${field}.axis`, `dimension ${axis} of '${name}' is not free: [${spec.shape.join(', ')}]`);
}

function elementOf(datatype: TensorSpec['datatype'], value: number, field: string): Uint8Array {
  try {
    return tensorDataFromJson(datatype, [1], [datatype === 'BOOL' ? value !== 0 : value], field);
  } catch (cause) {
    if (!(cause instanceof TensorDataError)) throw cause;
    throw new PackageError('invalid-model', cause.message, { file: 'model.yaml', field }, { cause });
  }
}

function wrong(field: string, message: string): PackageError {
  return new PackageError('invalid-model', message, { file: 'model.yaml', field });
}
