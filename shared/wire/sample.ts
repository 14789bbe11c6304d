// A sample: the inputs of one answer (one row), the answer itself and where it came from, as one body. Layout: u32 length of the
// header (little-endian), the header as JSON, then the tensors' bytes in the header's order, inputs before outputs. Its id is the
// SHA-256 of the body, so that sending it twice is sending it once. `inputsDigest` covers the inputs only: it decides on which side
// of a dataset's split the sample stands, whoever captured it and whenever.
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { DATATYPES } from '../tensor/datatype.js';
import { elementCount, sizeBytes as tensorSizeBytes, type NamedTensor } from '../tensor/tensor.js';
import { digestSchema, sha256, type Digest } from './digest.js';
import { modelNameSchema } from './model-yaml.js';

export const LIMIT_SAMPLE_BYTES = 8 * 1024 * 1024;
const LIMIT_HEADER_BYTES = 64 * 1024;

export const SAMPLE_REASONS = ['low-confidence', 'random-share', 'import'] as const;

const tensorHeaderSchema = z.strictObject({
  name: z.string().min(1).max(128),
  datatype: z.enum(DATATYPES),
  shape: z.array(z.int().min(0)).max(8),
  sizeBytes: z.int().min(0).max(LIMIT_SAMPLE_BYTES),
});

const sampleFactsSchema = z.strictObject({
  model: modelNameSchema,
  /** The version and variant that answered; absent for an imported sample. */
  versionDigest: digestSchema.optional(),
  variantDigest: digestSchema.optional(),
  /** The device's clock, or the import's; for people. */
  capturedAtMs: z.number().min(0),
  confidence: z.number().min(0).max(1).optional(),
  reason: z.enum(SAMPLE_REASONS),
});
export type SampleFacts = z.infer<typeof sampleFactsSchema>;

const headerSchema = sampleFactsSchema.extend({
  inputs: z.array(tensorHeaderSchema).min(1).max(32),
  outputs: z.array(tensorHeaderSchema).max(32),
});

export interface Sample {
  readonly facts: SampleFacts;
  readonly inputs: readonly NamedTensor[];
  /** The answer, as far as it is small; empty for an imported sample. */
  readonly outputs: readonly NamedTensor[];
}

export class SampleError extends Error {
  override readonly name = 'SampleError';
  readonly field: string;
  constructor(field: string, message: string, options: { cause?: unknown } = {}) {
    super(`${field}: ${message}`, options);
    this.field = field;
  }
}

/** Throws SampleError `body` over LIMIT_SAMPLE_BYTES. */
export function encodeSample({ facts, inputs, outputs }: Sample): Uint8Array {
  const describe = ({ name, datatype, shape, data }: NamedTensor) => ({
    name,
    datatype,
    shape: [...shape],
    sizeBytes: data.byteLength,
  });
  const header = Buffer.from(
    JSON.stringify({ ...facts, inputs: inputs.map(describe), outputs: outputs.map(describe) }),
  );
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.byteLength);
  const body = Buffer.concat([length, header, ...[...inputs, ...outputs].map(({ data }) => data)]);
  if (body.byteLength > LIMIT_SAMPLE_BYTES) {
    throw new SampleError('body', `has ${body.byteLength} bytes; at most ${LIMIT_SAMPLE_BYTES} are taken`);
  }
  return body;
}

/** Throws SampleError, which names the field. The tensors are views of `body`. */
export function decodeSample(body: Uint8Array): Sample {
  if (body.byteLength > LIMIT_SAMPLE_BYTES || body.byteLength < 4) throw new SampleError('body', 'is no sample');
  const view = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const headerBytes = view.readUInt32LE(0);
  if (headerBytes > LIMIT_HEADER_BYTES || 4 + headerBytes > body.byteLength) {
    throw new SampleError('header', `says ${headerBytes} bytes, which the body has not`);
  }
  const { inputs, outputs, ...facts } = parseHeader(view.subarray(4, 4 + headerBytes).toString('utf8'));
  let at = 4 + headerBytes;
  const take = (header: z.infer<typeof tensorHeaderSchema>): NamedTensor => {
    const { name, datatype, shape, sizeBytes } = header;
    const expected = tensorSizeBytes(datatype, shape);
    if (elementCount(shape) === undefined || (expected !== undefined && expected !== sizeBytes)) {
      throw new SampleError(name, `${sizeBytes} bytes do not fit ${datatype} [${shape.join(', ')}]`);
    }
    const data = body.subarray(at, at + sizeBytes);
    at += sizeBytes;
    if (data.byteLength !== sizeBytes) throw new SampleError(name, 'is cut off');
    return { name, datatype, shape, data };
  };
  const sample = { facts, inputs: inputs.map(take), outputs: outputs.map(take) };
  if (at !== body.byteLength) throw new SampleError('body', `${body.byteLength - at} bytes are left over`);
  return sample;
}

function parseHeader(text: string): z.infer<typeof headerSchema> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new SampleError('header', 'is not JSON', { cause });
  }
  const parsed = headerSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new SampleError(issue?.path.map(String).join('.') || 'header', issue?.message ?? 'is not valid', {
    cause: parsed.error,
  });
}

export function sampleId(body: Uint8Array): Digest {
  return sha256(body);
}

/** Over names, datatypes, shapes and bytes, by name: equal inputs are equal whatever order they came in. */
export function inputsDigest(inputs: readonly NamedTensor[]): Digest {
  const hash = createHash('sha256');
  for (const { name, datatype, shape, data } of [...inputs].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    hash.update(JSON.stringify([name, datatype, shape, data.byteLength])).update(data);
  }
  return `sha256:${hash.digest('hex')}`;
}
