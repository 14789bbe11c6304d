// The structure of a package's graphs, before any engine sees them: each .onnx file that the pipeline names is read by our own codec,
// and its external data must be files of the package, long enough. Nothing of the model runs here.
import * as fs from 'node:fs/promises';
import { posix } from 'node:path';
import { inspectModel } from '@tidegate/shared/onnx/inspect-model.js';
import { decodeModel, LIMIT_MODEL_BYTES } from '@tidegate/shared/onnx/model-codec.js';
import { OnnxError } from '@tidegate/shared/onnx/onnx-error.js';
import { validateModel } from '@tidegate/shared/onnx/validate-model.js';
import type { ModelPackage } from '@tidegate/shared/package/model-package.js';
import type { GraphNode, PipelineNode } from '@tidegate/shared/wire/model-yaml.js';
import { PackageRefused } from './package-ports.js';

/** Rejects with PackageRefused naming the file and the place in it. */
export async function checkStructure(pack: ModelPackage): Promise<void> {
  for (const [index, node] of pack.yaml.pipeline.entries()) {
    if (isGraph(node)) await checkGraph(pack, node, `model.yaml#pipeline.${index}`);
  }
}

function isGraph(node: PipelineNode): node is GraphNode {
  return 'graph' in node;
}

async function checkGraph(pack: ModelPackage, node: GraphNode, field: string): Promise<void> {
  const path = pack.pathOf(node.graph);
  const { size } = await fs.stat(path);
  if (size > LIMIT_MODEL_BYTES) {
    throw new PackageRefused(`${node.graph} has ${size} bytes; an ONNX file has at most ${LIMIT_MODEL_BYTES}`, {
      field: node.graph,
    });
  }
  try {
    const model = decodeModel(await fs.readFile(path));
    const { externalFiles } = validateModel(model);
    checkExternal(pack, node.graph, externalFiles);
    const { inputs, outputs } = inspectModel(model);
    requireNames(node, field, 'inputs', Object.keys(node.inputs ?? {}), inputs);
    requireNames(node, field, 'outputs', Object.keys(node.outputs ?? {}), outputs);
  } catch (cause) {
    if (!(cause instanceof OnnxError)) throw cause;
    throw new PackageRefused(`${node.graph}: ${cause.message}`, { cause, field: node.graph });
  }
}

function checkExternal(
  pack: ModelPackage,
  graph: string,
  external: readonly { readonly path: string; readonly endBytes: number }[],
): void {
  for (const { path, endBytes } of external) {
    const inPackage = posix.join(posix.dirname(graph), path);
    const file = pack.files.find((entry) => entry.path === inPackage);
    if (file === undefined) {
      throw new PackageRefused(`${graph}: its external data ${inPackage} is no file of the package`, { field: graph });
    }
    if (file.sizeBytes < endBytes) {
      const message = `${graph}: its external data ${inPackage} has ${file.sizeBytes} bytes, ${endBytes} are needed`;
      throw new PackageRefused(message, { field: graph });
    }
  }
}

function requireNames(
  node: GraphNode,
  field: string,
  side: 'inputs' | 'outputs',
  named: readonly string[],
  declared: readonly { readonly name: string }[],
): void {
  const known = new Set(declared.map(({ name }) => name));
  const missing = named.find((name) => !known.has(name));
  if (missing === undefined) return;
  const has = [...known].join(', ');
  throw new PackageRefused(`model.yaml, pipeline: ${node.graph} has no ${side} ${missing}; it has ${has}`, {
    field: `${field}.${side}.${missing}`,
  });
}
