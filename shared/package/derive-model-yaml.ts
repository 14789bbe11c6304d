// The model.yaml of an .onnx file that has none: everything that can be derived is, and the rest keeps its default.
// Goldens, confidence and steps can't be derived; a licence is `unknown` until somebody states it.
import { modelYamlSchema, type ModelYaml } from '../wire/model-yaml.js';
import type { GraphSignature } from './model-package.js';
import { PackageError } from './package-error.js';

/** A legal model name from a file's or folder's name: `My Model.onnx` -> `my-model`. */
export function modelNameFrom(fileName: string): string {
  const name = fileName
    .replace(/\.onnx$/i, '')
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/^[^a-z0-9]+/, '')
    .slice(0, 63);
  return name === '' ? 'model' : name;
}

/**
 * The yaml of one graph without steps. `maxRows` stays 1 unless every input and output has a dynamic first dimension:
 * only then may requests share a run. Throws PackageError `invalid-model` for a graph that model.yaml can't describe.
 */
export function deriveModelYaml(name: string, graphFile: string, signature: GraphSignature): ModelYaml {
  const specs = [...signature.inputs, ...signature.outputs];
  const batchable = specs.length > 0 && specs.every(({ shape }) => shape.length > 0 && shape[0] === -1);
  const parsed = modelYamlSchema.safeParse({
    name,
    licence: 'unknown',
    inputs: signature.inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape: [...shape] })),
    outputs: signature.outputs.map(({ name, datatype, shape }) => ({ name, datatype, shape: [...shape] })),
    pipeline: [{ graph: graphFile }],
    batching: { maxRows: batchable ? 8 : 1 },
  });
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const place = { file: graphFile, field: issue?.path.map(String).join('.') ?? '' };
  throw new PackageError('invalid-model', issue?.message ?? 'is not valid', place, { cause: parsed.error });
}
