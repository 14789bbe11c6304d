// A request's body as a document of the wire contract: bounded while it arrives, then JSON, then checked by its schema.
import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import { DeviceError } from './device-error.js';

/** Rejects with DeviceError 413 `body-too-large` or 400 `invalid-body`, the latter naming the field. */
export async function readDocument<T>(request: IncomingMessage, schema: z.ZodType<T>, bytesMax: number): Promise<T> {
  const bytes = await readBounded(request, bytesMax);
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new DeviceError(400, 'invalid-body', 'the body is not JSON', { cause });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const field = issue?.path.map(String).join('.') ?? '';
  throw new DeviceError(400, 'invalid-body', field === '' ? `${issue?.message}` : `${field}: ${issue?.message}`, {
    field,
  });
}

/** The whole body. Rejects with DeviceError 413 `body-too-large`. */
export async function readBounded(request: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const tooLarge = (): DeviceError =>
    new DeviceError(413, 'body-too-large', `the body is larger than ${bytesMax} bytes`);
  if (Number(request.headers['content-length'] ?? 0) > bytesMax) throw tooLarge();
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > bytesMax) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
