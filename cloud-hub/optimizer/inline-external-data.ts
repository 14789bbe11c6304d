// A model with its external data read into it: what a pass or a training job makes of it is one file.
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { externalDataOf, isExternal } from '@tidegate/shared/onnx/external-data.js';
import type { ModelProto, TensorProto } from '@tidegate/shared/onnx/model-proto.js';
import { OnnxError } from '@tidegate/shared/onnx/onnx-error.js';
import { tensorSizeBytes } from '@tidegate/shared/onnx/tensor-data.js';

/** Initializers with their external bytes; the files were checked at publishing. Attribute tensors never are external. */
export async function withExternalData(model: ModelProto, folder: string): Promise<ModelProto> {
  const { graph } = model;
  if (graph === undefined || !graph.initializer.some(isExternal)) return model;
  const files = new Map<string, Uint8Array>();
  const initializer: TensorProto[] = [];
  for (const tensor of graph.initializer) {
    initializer.push(isExternal(tensor) ? await inlined(tensor, folder, files) : tensor);
  }
  return { ...model, graph: { ...graph, initializer } };
}

async function inlined(tensor: TensorProto, folder: string, files: Map<string, Uint8Array>): Promise<TensorProto> {
  const where = `initializer ${tensor.name ?? ''}`;
  const { path, offset } = externalDataOf(tensor, where);
  const file = files.get(path) ?? (await fs.readFile(join(folder, path)));
  files.set(path, file);
  const size = tensorSizeBytes(tensor, where) ?? 0;
  if (offset + size > file.byteLength) throw new OnnxError('bad-external-data', `${path} is too short`, where);
  const { dataLocation: _, ...rest } = tensor;
  return { ...rest, externalData: [], rawData: file.subarray(offset, offset + size) };
}
