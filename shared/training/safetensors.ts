// The safetensors format (github.com/huggingface/safetensors, README "Format"): u64 length of the header, the header as JSON, then the
// tensors' bytes one after another. Any tool that knows the format can read a checkpoint.
import { z } from 'zod';
import { ELEMENT_SIZE_BYTES, type Datatype } from '../tensor/datatype.js';
import { elementCount, sizeBytes, type NamedTensor } from '../tensor/tensor.js';

const LIMIT_HEADER_BYTES = 100_000_000;

const DTYPES: Readonly<Partial<Record<Datatype, string>>> = {
  FP32: 'F32',
  FP64: 'F64',
  FP16: 'F16',
  BF16: 'BF16',
  INT64: 'I64',
  INT32: 'I32',
  UINT8: 'U8',
  BOOL: 'BOOL',
};
const DATATYPES = new Map(Object.entries(DTYPES).map(([datatype, dtype]) => [dtype, datatype as Datatype]));

const entrySchema = z.object({
  dtype: z.string(),
  shape: z.array(z.int().min(0)),
  data_offsets: z.tuple([z.int().min(0), z.int().min(0)]),
});
const headerSchema = z.record(z.string(), z.unknown());
const metadataSchema = z.record(z.string(), z.string());

export class SafetensorsError extends Error {
  override readonly name = 'SafetensorsError';
}

/** Throws SafetensorsError for a datatype that the format has no word for. */
export function encodeSafetensors(
  tensors: readonly NamedTensor[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  let at = 0;
  const header: Record<string, unknown> = { __metadata__: metadata };
  for (const { name, datatype, shape, data } of tensors) {
    const dtype = DTYPES[datatype];
    if (dtype === undefined) throw new SafetensorsError(`${name} is ${datatype}, which the format has not`);
    header[name] = { dtype, shape, data_offsets: [at, at + data.byteLength] };
    at += data.byteLength;
  }
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.alloc(Math.ceil(text.byteLength / 8) * 8, ' '); // tensors begin aligned
  text.copy(padded);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.byteLength));
  return Buffer.concat([length, padded, ...tensors.map(({ data }) => data)]);
}

/** The tensors are views of `bytes`. Throws SafetensorsError for what is cut off or contradicts itself. */
export function decodeSafetensors(bytes: Uint8Array): { tensors: NamedTensor[]; metadata: Record<string, string> } {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.byteLength < 8) throw new SafetensorsError('is too short');
  const length = Number(view.readBigUInt64LE(0));
  if (length > LIMIT_HEADER_BYTES || 8 + length > view.byteLength) throw new SafetensorsError('its header is cut off');
  const { __metadata__: stated, ...entries } = parse(view.subarray(8, 8 + length).toString('utf8'));
  const data = bytes.subarray(8 + length);
  let end = 0;
  const tensors = Object.entries(entries).map(([name, entry]) => {
    const parsed = entrySchema.safeParse(entry);
    if (!parsed.success) throw new SafetensorsError(`its entry ${name} is none`, { cause: parsed.error });
    const { dtype, shape, data_offsets: offsets } = parsed.data;
    const datatype = DATATYPES.get(dtype);
    if (datatype === undefined || ELEMENT_SIZE_BYTES[datatype] === 0) throw new SafetensorsError(`${name} is ${dtype}`);
    const expected = elementCount(shape) === undefined ? undefined : sizeBytes(datatype, shape);
    if (offsets[0] !== end || offsets[1] - offsets[0] !== expected || offsets[1] > data.byteLength) {
      throw new SafetensorsError(`the bytes of ${name} are not where its header says`);
    }
    end = offsets[1];
    return { name, datatype, shape, data: data.subarray(...offsets) };
  });
  if (end !== data.byteLength) throw new SafetensorsError(`${data.byteLength - end} bytes are left over`);
  return { tensors, metadata: metadataSchema.catch({}).parse(stated ?? {}) };
}

function parse(text: string): Record<string, unknown> {
  try {
    return headerSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new SafetensorsError('its header is no JSON', { cause });
  }
}
