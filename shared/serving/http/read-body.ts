// A request's body in one buffer. What came in one piece is taken as it is; several pieces are joined with one copy, in memory that may
// be given back (reused-buffers.ts). It begins so that the binary section after `jsonBytes` is aligned to 8: the first tensor can then
// be viewed as any typed array, and what can't be viewed is copied by whoever needs it. Inflation is bounded while it happens, so a
// compression bomb costs `bodyBytesMax` at most, and every byte is accounted to the budget before it is kept.
import type { IncomingMessage } from 'node:http';
import { createGunzip, createInflate, type Gunzip, type Inflate } from 'node:zlib';
import { reusedBuffers } from '../../system/reused-buffers.js';
import { ServingError } from '../serving-error.js';
import type { BodyShare } from './body-budget.js';
import { invalid } from './invalid.js';

const ALIGNMENT = 8;
const INFLATE_CHUNK_BYTES = 64 * 1024;
/** Times its own size that a single piece may keep alive. */
const OWN_SHARE = 2;

interface ReadBodyOptions {
  readonly bodyBytesMax: number;
  /** What the limit holds for, in the refusal: `a request body`. */
  readonly what: string;
  /** Length of the JSON part, where the request states it: what follows is aligned. */
  readonly jsonBytes: number;
  readonly share: BodyShare;
}

/**
 * Rejects with ServingError: `too-large`, `queue-full`, `invalid-argument` (encoding), `cancelled` where the client goes
 * away. After a rejection the rest of the body is unread.
 */
export function readBody(request: IncomingMessage, options: ReadBodyOptions): Promise<Buffer> {
  const coding = contentCoding(request);
  const stated = request.headers['content-length'];
  const length = stated === undefined ? undefined : Number(stated);
  if (length !== undefined && length > options.bodyBytesMax) {
    throw tooLarge(`Content-Length ${length} is`, options);
  }
  if (coding !== 'identity') return readInflated(request, coding, options);
  if (length !== undefined) options.share.expect(length); // refused before it is read
  return collect(request, request, options);
}

type Coding = 'identity' | 'gzip' | 'deflate';

function contentCoding(request: IncomingMessage): Coding {
  const header = request.headers['content-encoding'];
  if (header === undefined) return 'identity';
  const coding = header.trim().toLowerCase();
  if (coding === '' || coding === 'identity') return 'identity';
  if (coding === 'x-gzip') return 'gzip';
  if (coding === 'gzip' || coding === 'deflate') return coding;
  throw invalid('Content-Encoding', `expected gzip, deflate or identity, got ${JSON.stringify(header)}`);
}

function collect(
  request: IncomingMessage,
  source: NodeJS.ReadableStream,
  options: ReadBodyOptions,
  onRefuse: () => void = () => undefined,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let total = 0;
    const onData = (chunk: Buffer): void => {
      total += chunk.byteLength;
      chunks.push(chunk);
      try {
        if (total > options.bodyBytesMax) throw tooLarge('it is', options);
        options.share.grow(chunk.byteLength);
      } catch (error) {
        chunks.length = 0;
        source.off('data', onData);
        onRefuse();
        reject(error as ServingError);
      }
    };
    source.on('data', onData);
    source.on('end', () => resolve(join(chunks, total, options.jsonBytes)));
    request.on('error', (cause) => reject(gone(cause)));
    request.on('close', () => {
      if (!request.complete) reject(gone());
    });
  });
}

/** Joining at the end is cheaper than filling as chunks come. A piece of a much larger buffer is copied too: it would keep that alive. */
function join(chunks: readonly Buffer[], total: number, jsonBytes: number): Buffer {
  const [only] = chunks;
  if (only !== undefined && chunks.length === 1 && only.buffer.byteLength <= OWN_SHARE * total) return only;
  const pad = (ALIGNMENT - (jsonBytes % ALIGNMENT)) % ALIGNMENT;
  const body = reusedBuffers.take(total + pad).subarray(pad);
  let at = 0;
  for (const chunk of chunks) {
    chunk.copy(body, at);
    at += chunk.byteLength;
  }
  return body;
}

function readInflated(request: IncomingMessage, coding: Coding, options: ReadBodyOptions): Promise<Buffer> {
  const settings = { chunkSize: INFLATE_CHUNK_BYTES };
  const inflate: Gunzip | Inflate = coding === 'gzip' ? createGunzip(settings) : createInflate(settings);
  const stop = (): void => {
    request.unpipe(inflate);
    inflate.destroy();
  };
  const broken = new Promise<never>((_, reject) => {
    inflate.on('error', (cause) => {
      stop();
      reject(invalid('body', `not valid ${coding} data (${cause.message})`, cause));
    });
  });
  request.on('close', () => {
    if (!request.complete) stop();
  });
  const collected = collect(request, inflate, options, stop);
  request.pipe(inflate);
  return Promise.race([collected, broken]);
}

function tooLarge(size: string, { bodyBytesMax, what }: ReadBodyOptions): ServingError {
  const text = `body: ${size} larger than the ${bodyBytesMax} bytes that ${what} may take`;
  return new ServingError('too-large', text, { field: 'body' });
}

function gone(cause?: unknown): ServingError {
  return new ServingError('cancelled', 'the client went away before its request was read', { cause });
}
