// Answers GET and HEAD with a file that never changes under its name: whole, or the one range that was asked for (RFC 9110, 14).
// Several ranges, or one that can't be understood, are answered with the whole file, which the RFC allows.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import type { Files } from '@tidegate/shared/system/files.js';
import { DeviceError } from './device-error.js';

interface SentFile {
  readonly path: string;
  readonly type: string;
  /** Strong entity tag with its quotes; none where a range makes no sense. */
  readonly etag?: string;
  readonly cacheControl: string;
}

export type Range = { readonly start: number; readonly end: number } | 'whole' | 'unsatisfiable';

/** `end` is inclusive. A range counts only while If-Range, where there is one, names this very content. */
export function rangeOf(headers: IncomingMessage['headers'], sizeBytes: number, etag: string | undefined): Range {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(headers.range ?? '');
  const [first = '', last = ''] = match?.slice(1) ?? [];
  if (etag === undefined || (first === '' && last === '')) return 'whole';
  const condition = headers['if-range'];
  if (condition !== undefined && condition !== etag) return 'whole';
  const start = first === '' ? Math.max(0, sizeBytes - Number(last)) : Number(first);
  const end = first === '' || last === '' ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1);
  if (first !== '' && last !== '' && Number(last) < start) return 'whole'; // not a valid range at all
  return start >= sizeBytes ? 'unsatisfiable' : { start, end };
}

/** Rejects with DeviceError 404 where there is no such file. */
export async function sendFile(
  request: IncomingMessage,
  response: ServerResponse,
  file: SentFile,
  files: Files,
): Promise<void> {
  const sizeBytes = await files.sizeBytes('device.stat', file.path);
  if (sizeBytes === undefined) throw new DeviceError(404, 'not-found', `${request.url} is not here`);
  const range = rangeOf(request.headers, sizeBytes, file.etag);
  response.setHeader('cache-control', file.cacheControl);
  if (file.etag !== undefined) {
    response.setHeader('etag', file.etag);
    response.setHeader('accept-ranges', 'bytes');
  }
  if (range === 'unsatisfiable') {
    response.writeHead(416, { 'content-range': `bytes */${sizeBytes}` }).end();
    return;
  }
  const part = range === 'whole' ? { start: 0, end: sizeBytes - 1 } : range;
  response.statusCode = range === 'whole' ? 200 : 206;
  if (range !== 'whole') response.setHeader('content-range', `bytes ${part.start}-${part.end}/${sizeBytes}`);
  response.setHeader('content-type', file.type);
  response.setHeader('content-length', part.end - part.start + 1);
  if (request.method === 'HEAD' || sizeBytes === 0) {
    response.end();
    return;
  }
  await pipeline(files.stream('device.send', file.path, part.start, part.end), response);
}
