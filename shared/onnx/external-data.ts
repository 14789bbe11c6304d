// Tensors whose bytes lie in another file beside the model (onnx/onnx docs/ExternalData.md). The path comes from whoever made
// the model: it must stay inside the package folder. Symbolic links are for whoever opens the file to refuse.
import { packagePathSchema } from '../wire/manifest.js';
import type { TensorProto } from './model-proto.js';
import { OnnxError } from './onnx-error.js';

/** TensorProto.DataLocation. */
const DATA_LOCATION_EXTERNAL = 1;

export interface ExternalData {
  /** Relative to the folder of the .onnx file, `/` between segments. */
  readonly path: string;
  readonly offset: number;
  /** Absent: up to the end of the file. */
  readonly sizeBytes?: number;
}

export function isExternal(tensor: TensorProto): boolean {
  return tensor.dataLocation === DATA_LOCATION_EXTERNAL;
}

/** Where the bytes of an external tensor lie. Throws OnnxError `bad-external-data`. */
export function externalDataOf(tensor: TensorProto, where: string): ExternalData {
  const entries = new Map<string, string>();
  for (const entry of tensor.externalData) {
    const key = entry.key ?? '';
    if (entries.has(key)) throw new OnnxError('bad-external-data', `the key ${key} twice`, where);
    entries.set(key, entry.value ?? '');
  }
  const path = (entries.get('location') ?? '').replace(/^\.\//, '');
  if (!packagePathSchema.safeParse(path).success) {
    throw new OnnxError(
      'bad-external-data',
      `location ${JSON.stringify(path)} is no path inside the package folder`,
      where,
    );
  }
  const sizeBytes = wholeNumber(entries.get('length'), 'length', where);
  const offset = wholeNumber(entries.get('offset'), 'offset', where) ?? 0;
  if (!Number.isSafeInteger(offset + (sizeBytes ?? 0))) {
    throw new OnnxError('bad-external-data', 'offset and length pass 2^53', where);
  }
  return { path, offset, ...(sizeBytes === undefined ? {} : { sizeBytes }) };
}

function wholeNumber(text: string | undefined, key: string, where: string): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value)) return value;
  throw new OnnxError(
    'bad-external-data',
    `${key} ${JSON.stringify(text.slice(0, 40))} is no whole number of bytes`,
    where,
  );
}
