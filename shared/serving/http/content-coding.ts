// When an answer is compressed, and with what. Asked for is not enough: HTTP libraries put `Accept-Encoding: gzip, deflate`
// on every request, and float tensors hardly shrink. So: never a small answer, over loopback only for a caller that names
// one coding and therefore means it, and only where a sample of the body shrinks. Errors and metadata are never compressed:
// the asynchronous tritonclient doesn't inflate them.
import { deflate, deflateSync, gzip } from 'node:zlib';
import { promisify } from 'node:util';

type AnswerCoding = 'gzip' | 'deflate' | undefined;

const BODY_BYTES_MIN = 1024;
const SAMPLE_BYTES = 4096;
/** A sample must shrink below this share of itself. */
const WORTH_RATIO = 0.8;
const LEVEL = 1;

/** The coding that the caller's Accept-Encoding allows and the size and way make sensible; a pure function. */
export function wantedCoding(acceptEncoding: string, bodyBytes: number, loopback: boolean): AnswerCoding {
  if (bodyBytes < BODY_BYTES_MIN) return undefined;
  const offered = parseAcceptEncoding(acceptEncoding);
  if (loopback && offered.length !== 1) return undefined;
  if (offered.includes('gzip')) return 'gzip';
  return offered.includes('deflate') ? 'deflate' : undefined;
}

/** Codings with a weight above 0, in lower case. */
function parseAcceptEncoding(header: string): string[] {
  return header
    .toLowerCase()
    .split(',')
    .map((part) => part.split(';').map((piece) => piece.trim()))
    .filter(([coding, weight]) => coding !== '' && !/^q=0(\.0*)?$/.test(weight ?? ''))
    .map(([coding]) => coding as string);
}

/** Does the middle of the body shrink enough? Costs some tens of microseconds. */
export function worthCompressing(body: Buffer): boolean {
  const start = Math.max(0, Math.floor((body.byteLength - SAMPLE_BYTES) / 2));
  const sample = body.subarray(start, start + SAMPLE_BYTES);
  return deflateSync(sample, { level: LEVEL }).byteLength < WORTH_RATIO * sample.byteLength;
}

const gzipAsync = promisify(gzip);
const deflateAsync = promisify(deflate);

/** Off the event loop. `deflate` is the zlib format, as RFC 9110 8.4.1.2 has it and clients expect. */
export function compress(body: Buffer, coding: 'gzip' | 'deflate'): Promise<Buffer> {
  return coding === 'gzip' ? gzipAsync(body, { level: LEVEL }) : deflateAsync(body, { level: LEVEL });
}
