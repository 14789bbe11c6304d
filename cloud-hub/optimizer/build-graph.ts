// One graph of one variant: reads an .onnx file, applies a pass, writes the result. External data are read into the model, so
// that what a pass writes is one file. Runs in a worker (build-graph-worker.ts), because quantizing blocks for seconds.
import * as fs from 'node:fs/promises';
import { dirname } from 'node:path';
import { chunksSizeBytes } from '@tidegate/shared/onnx/encode-message.js';
import { decodeModel, encodeModel, LIMIT_MODEL_BYTES } from '@tidegate/shared/onnx/model-codec.js';
import { fp16Weights } from './fp16-weights.js';
import type { GraphPass } from './graph-pass.js';
import { withExternalData } from './inline-external-data.js';
import { int4Weights } from './int4-weights.js';
import { int8Dynamic } from './int8-dynamic.js';
import { int8Weights } from './int8-weights.js';

/** In the order of the variants' table. */
export const PASSES: readonly GraphPass[] = [int8Dynamic, int8Weights, int4Weights, fp16Weights];

export interface BuildGraphOrder {
  readonly variant: string;
  readonly from: string;
  readonly to: string;
}

/** `reason`: why there is no file at `to`; undefined where there is one. */
export interface BuiltGraph {
  readonly reason: string | undefined;
}

/** Rejects with OnnxError for a file that is no model, and with the file system's errors. */
export async function buildGraph({ variant, from, to }: BuildGraphOrder): Promise<BuiltGraph> {
  const pass = PASSES.find((one) => one.variant === variant);
  if (pass === undefined) throw new Error(`no pass makes ${variant}`);
  const model = await withExternalData(decodeModel(await fs.readFile(from)), dirname(from));
  const result = pass.apply(model);
  if (result.outcome === 'not-applicable') return { reason: result.reason };
  const chunks = encodeModel(result.model);
  if (chunksSizeBytes(chunks) > LIMIT_MODEL_BYTES)
    return { reason: 'the result would pass the 2 GiB of one ONNX file' };
  await fs.mkdir(dirname(to), { recursive: true });
  const file = await fs.open(to, 'wx');
  try {
    for (const chunk of chunks) await file.writeFile(chunk);
  } finally {
    await file.close();
  }
  return { reason: undefined };
}
