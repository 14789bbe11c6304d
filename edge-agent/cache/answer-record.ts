// An answer as bytes, for layers that outlive the process: u32 length of a JSON head, the head, then the outputs' bytes in
// the head's order. The digest binds them to their key, model, tags and time, so that a flipped byte anywhere, or a row
// that slipped under another's key, is found when it is read, and never answered.
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { DATATYPES } from '@tidegate/shared/tensor/datatype.js';
import type { CachedAnswer, CacheLabels } from '@tidegate/shared/cache/cache-layer.js';

const HEAD_LENGTH_BYTES = 4;

const headSchema = z.strictObject({
  answeredBy: z.enum(['edge', 'hub', 'split']),
  confidence: z.number().optional(),
  version: z.string(),
  modelDigest: z.string(),
  variant: z.string(),
  variantDigest: z.string(),
  outputs: z.array(
    z.strictObject({
      name: z.string(),
      datatype: z.enum(DATATYPES),
      shape: z.array(z.int().min(0)),
      sizeBytes: z.int().min(0),
    }),
  ),
});

/** Undefined where the answer can't be told exactly in JSON (a confidence that is no finite number): not kept then. */
export function encodeAnswer(answer: CachedAnswer): Buffer | undefined {
  const { outputs, confidence, answeredBy, version, modelDigest, variant, variantDigest } = answer;
  if (confidence !== undefined && !Number.isFinite(confidence)) return undefined;
  const head: z.infer<typeof headSchema> = {
    answeredBy,
    ...(confidence === undefined ? {} : { confidence }),
    version,
    modelDigest,
    variant,
    variantDigest,
    outputs: outputs.map(({ name, datatype, shape, data }) => ({
      name,
      datatype,
      shape: [...shape],
      sizeBytes: data.byteLength,
    })),
  };
  const json = Buffer.from(JSON.stringify(head));
  const length = Buffer.alloc(HEAD_LENGTH_BYTES);
  length.writeUInt32LE(json.byteLength);
  return Buffer.concat([length, json, ...outputs.map(({ data }) => data)]);
}

/** Undefined where the bytes are not what `encodeAnswer` wrote. The outputs are views of `body`. */
export function decodeAnswer(body: Uint8Array): CachedAnswer | undefined {
  if (body.byteLength < HEAD_LENGTH_BYTES) return undefined;
  const buffer = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const headEnd = HEAD_LENGTH_BYTES + buffer.readUInt32LE(0);
  const head = parsedHead(buffer.subarray(HEAD_LENGTH_BYTES, headEnd).toString());
  if (head === undefined) return undefined;
  const { outputs: specs, confidence, ...rest } = head;
  let at = headEnd;
  const outputs = specs.map(({ name, datatype, shape, sizeBytes }) => {
    const data = body.subarray(at, at + sizeBytes);
    at += sizeBytes;
    return { name, datatype, shape, data };
  });
  return at === body.byteLength ? { ...rest, outputs, confidence } : undefined;
}

export function digestOf(key: string, { model, tags }: CacheLabels, storedMs: number, body: Uint8Array): Buffer {
  return createHash('sha256')
    .update(JSON.stringify([key, model, tags, storedMs]))
    .update(body)
    .digest();
}

function parsedHead(text: string): z.infer<typeof headSchema> | undefined {
  try {
    return headSchema.parse(JSON.parse(text));
  } catch {
    return undefined; // the caller counts it and drops the row
  }
}
