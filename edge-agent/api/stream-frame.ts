// The frames of `/v2/stream` (docs/protocol.md). A text frame is a request or an answer of the Open Inference Protocol as JSON.
// A binary frame is the same with Triton's binary tensor data: the JSON's length (u32, little-endian), the JSON, then the
// tensors; what HTTP says in Inference-Header-Content-Length stands in front. Pure.
import type { AnswerBody } from '@tidegate/shared/serving/http/answer-body.js';
import type { ReceivedInfer } from '@tidegate/shared/serving/http/infer-exchange.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';

const LENGTH_BYTES = 4;
const ALIGNMENT = 8;
/** More of a wrong frame is not read to find out its id. */
const ID_LOOKUP_BYTES_MAX = 1 << 20;

export type FrameBody = Pick<ReceivedInfer, 'body' | 'jsonBytes'>;

/** Throws ServingError `invalid-argument`. Tensors begin at a multiple of 8, so that any typed array can view the first. */
export function readFrame(frame: Buffer, binary: boolean): FrameBody {
  if (!binary) return { body: frame, jsonBytes: undefined };
  if (frame.byteLength < LENGTH_BYTES) throw wrongFrame('a binary frame begins with the length of its JSON (u32)');
  const jsonBytes = frame.readUInt32LE(0);
  if (jsonBytes === 0 || jsonBytes > frame.byteLength - LENGTH_BYTES) {
    throw wrongFrame(`says ${jsonBytes} bytes of JSON, and has ${frame.byteLength - LENGTH_BYTES} in all`);
  }
  const rest = frame.subarray(LENGTH_BYTES);
  if ((rest.byteOffset + jsonBytes) % ALIGNMENT === 0) return { body: rest, jsonBytes };
  const pad = (ALIGNMENT - (jsonBytes % ALIGNMENT)) % ALIGNMENT;
  const aligned = Buffer.from(new ArrayBuffer(rest.byteLength + pad)).subarray(pad);
  rest.copy(aligned);
  return { body: aligned, jsonBytes };
}

/** A text is sent as a text frame. */
export function answerFrame({ json, binary }: AnswerBody): string | Buffer {
  if (binary === undefined) return json;
  const text = Buffer.from(json);
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32LE(text.byteLength);
  return Buffer.concat([length, text, ...binary]);
}

/** `{"id", "error", "code", "field", "retry_after_ms"}`; what isn't known is left out. */
export function errorFrame(id: string | undefined, error: ServingError): string {
  const { message, code, field, retryAfterMs } = error;
  const retry = retryAfterMs === undefined ? undefined : Math.max(0, Math.round(retryAfterMs));
  return JSON.stringify({ id, error: message, code, field, retry_after_ms: retry });
}

/** The id of a frame, as far as it can be told from one that may be wrong. */
export function idOf({ body, jsonBytes }: FrameBody): string | undefined {
  const end = jsonBytes ?? body.byteLength;
  if (end > ID_LOOKUP_BYTES_MAX) return undefined;
  try {
    const { id } = JSON.parse(body.toString('utf8', 0, end)) as { id?: unknown };
    return typeof id === 'string' ? id : undefined;
  } catch {
    return undefined; // no JSON: the answer says so
  }
}

function wrongFrame(text: string): ServingError {
  return new ServingError('invalid-argument', `frame: ${text}`, { field: 'frame' });
}
