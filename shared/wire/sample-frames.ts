// Samples of an import on their way, several in one body, each with its label: u32 length of the label (little-endian), the label as UTF-8,
// u32 length of the sample, the sample (sample.ts). Frame after frame, nothing between them.
import { LIMIT_SAMPLE_BYTES, SampleError } from './sample.js';

/** Of one body; a client sends less at a time, unless one sample alone is larger. */
export const LIMIT_FRAMES_BYTES = 16 * 1024 * 1024;
/** Samples of one body. */
export const LIMIT_FRAMES = 256;
/** 1000 characters. */
const LIMIT_LABEL_BYTES = 4000;

export interface SampleFrame {
  readonly label: string;
  /** A sample's bytes. */
  readonly body: Uint8Array;
}

export function frameBytes({ label, body }: SampleFrame): number {
  return 8 + Buffer.byteLength(label) + body.byteLength;
}

export function encodeFrames(frames: readonly SampleFrame[]): Uint8Array {
  const length = (bytes: number): Buffer => {
    const buffer = Buffer.alloc(4);
    buffer.writeUInt32LE(bytes);
    return buffer;
  };
  return Buffer.concat(
    frames.flatMap(({ label, body }) => {
      const text = Buffer.from(label);
      return [length(text.byteLength), text, length(body.byteLength), body];
    }),
  );
}

/** The bodies are views of `bytes`. Throws SampleError: `body` for what isn't frames or too many, `label` for one that is no text. */
export function decodeFrames(bytes: Uint8Array): SampleFrame[] {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const frames: SampleFrame[] = [];
  let at = 0;
  const take = (what: string, limitBytes: number): Uint8Array => {
    if (at + 4 > view.byteLength) throw new SampleError('body', `ends within frame ${frames.length}`);
    const sizeBytes = view.readUInt32LE(at);
    if (sizeBytes > limitBytes || at + 4 + sizeBytes > view.byteLength) {
      throw new SampleError('body', `frame ${frames.length} says that its ${what} has ${sizeBytes} bytes`);
    }
    at += 4 + sizeBytes;
    return bytes.subarray(at - sizeBytes, at);
  };
  while (at < view.byteLength) {
    if (frames.length === LIMIT_FRAMES) throw new SampleError('body', `holds more than ${LIMIT_FRAMES} samples`);
    const label = textOf(take('label', LIMIT_LABEL_BYTES), frames.length);
    frames.push({ label, body: take('sample', LIMIT_SAMPLE_BYTES) });
  }
  if (frames.length === 0) throw new SampleError('body', 'holds no sample');
  return frames;
}

function textOf(bytes: Uint8Array, frame: number): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new SampleError('label', `of frame ${frame} is not UTF-8`, { cause });
  }
}
