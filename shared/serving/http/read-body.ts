// A request's body into one buffer, with one copy. The buffer is the body's own (never a slice of a socket's slab, which
// would keep 64 KB alive behind a cached 100 bytes), and it begins so that the binary section after `jsonBytes` is aligned
// to 8: the first tensor can be viewed as any typed array. Inflation is bounded while it happens, so a compression bomb
// costs `bodyBytesMax` at most, and every byte is accounted to the budget before it is kept.
import type { IncomingMessage } from 'node:http';
import { createGunzip, createInflate, type Gunzip, type Inflate } from 'node:zlib';
import { ServingError } from '../serving-error.js';
import type { BodyShare } from './body-budget.js';
import { invalid } from './invalid.js';

const ALIGNMENT = 8;
const INFLATE_CHUNK_BYTES = 64 * 1024;

export interface ReadBodyOptions {
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
  if (length === undefined) return collect(request, request, options);
  return readStated(request, length, options);
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

function allocate(length: number, jsonBytes: number): Buffer {
  const pad = (ALIGNMENT - (jsonBytes % ALIGNMENT)) % ALIGNMENT;
  const whole = Buffer.allocUnsafeSlow(length + pad);
  return pad === 0 ? whole : whole.subarray(pad);
}

function readStated(request: IncomingMessage, length: number, options: ReadBodyOptions): Promise<Buffer> {
  options.share.grow(length);
  const body = allocate(length, options.jsonBytes);
  return new Promise((resolve, reject) => {
    let filled = 0;
    request.on('data', (chunk: Buffer) => {
      filled += chunk.copy(body, filled);
    });
    request.on('end', () => resolve(body));
    request.on('error', (cause) => reject(gone(cause)));
    request.on('close', () => {
      if (filled < length) reject(gone());
    });
  });
}

/** Chunked or inflated: the length shows only as it comes. */
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
      try {
        if (total > options.bodyBytesMax) throw tooLarge('it is', options);
        options.share.grow(chunk.byteLength);
        chunks.push(chunk);
      } catch (error) {
        chunks.length = 0;
        source.off('data', onData);
        onRefuse();
        reject(error as ServingError);
      }
    };
    source.on('data', onData);
    source.on('end', () => {
      const body = allocate(total, options.jsonBytes);
      let at = 0;
      for (const chunk of chunks) at += chunk.copy(body, at);
      resolve(body);
    });
    request.on('error', (cause) => reject(gone(cause)));
    request.on('close', () => {
      if (!request.complete) reject(gone());
    });
  });
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
