// Writing answers and refusals. Errors are `{"error": "..."}` with Content-Type exactly `application/json` (KServe's client
// shows the text only then); the error's code and field travel in headers, so that our own client gets them back typed.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../../system/clock.js';
import { reusedBuffers } from '../../system/reused-buffers.js';
import { HTTP_STATUS, textWithField, type ServingError } from '../serving-error.js';
import { headerText, pushProvenanceHeaders, type AnswerBody } from './answer-body.js';
import { compress, wantedCoding, worthCompressing } from './content-coding.js';
import { eventText } from './generate-answer.js';
import type { Provenance } from '../inference-service.js';

/** Below this a body goes out as one piece; above, tensors are not copied. */
const ONE_PIECE_BYTES = 32 * 1024;

/** An unread body up to this size is read away and the connection kept, which costs less than a new one; after a larger one it closes. */
const DISCARD_BYTES_MAX = 1024 * 1024;

export function sendJson(response: ServerResponse, status: number, value: unknown, allow?: string): void {
  const body = JSON.stringify(value);
  const headers = ['Content-Type', 'application/json', 'Content-Length', String(Buffer.byteLength(body))];
  if (allow !== undefined) headers.push('Allow', allow);
  response.writeHead(status, headers);
  response.end(body);
}

/** Sends a refusal. A body that was not read is read away for `lingerMs`, or its sender would only see a reset. */
export function sendError(
  request: IncomingMessage,
  response: ServerResponse,
  error: ServingError,
  clock: Clock,
  lingerMs: number,
): void {
  if (response.headersSent || response.destroyed) return;
  const body = JSON.stringify({ error: textWithField(error) });
  const headers = ['Content-Type', 'application/json', 'Content-Length', String(Buffer.byteLength(body))];
  headers.push('tidegate-error', error.code);
  if (error.field !== undefined) headers.push('tidegate-error-field', headerText(error.field));
  if (error.retryAfterMs !== undefined) {
    headers.push('Retry-After', String(Math.max(1, Math.ceil(error.retryAfterMs / 1000))));
    headers.push('tidegate-retry-after-ms', String(Math.max(0, Math.round(error.retryAfterMs))));
  }
  const left = unreadBytes(request);
  if (left > DISCARD_BYTES_MAX) headers.push('Connection', 'close');
  response.writeHead(HTTP_STATUS[error.code], headers);
  if (left === 0) {
    response.end(body);
    return;
  }
  response.write(body); // with its length stated, the answer is whole for the client now
  const end = (): void => {
    cancel();
    response.end();
  };
  const cancel = clock.after(lingerMs, () => {
    end();
    request.socket.destroySoon();
  });
  request.once('end', end);
  request.once('close', end);
  request.resume();
}

/** 0 where the request has been read or has no body; Infinity where nobody says how much will come. */
function unreadBytes(request: IncomingMessage): number {
  if (request.complete) return 0;
  const { 'content-length': length, 'transfer-encoding': encoding } = request.headers;
  return encoding === undefined ? Number(length ?? 0) : Number.POSITIVE_INFINITY;
}

/** Sends an inference answer, compressed where that was asked for and pays. */
export async function sendAnswer(
  request: IncomingMessage,
  response: ServerResponse,
  body: AnswerBody,
  provenance: Provenance,
): Promise<void> {
  const { json, binary } = body;
  const jsonBytes = Buffer.byteLength(json);
  let total = jsonBytes;
  if (binary !== undefined) for (const part of binary) total += part.byteLength;
  const type = binary === undefined ? 'application/json' : 'application/octet-stream';
  const headers = ['Content-Type', type];
  if (binary !== undefined) headers.push('Inference-Header-Content-Length', String(jsonBytes));
  pushProvenanceHeaders(headers, provenance);
  const accepted = request.headers['accept-encoding'];
  const coding =
    accepted === undefined ? undefined : wantedCoding(accepted, total, isLoopback(request.socket.remoteAddress));
  if (coding !== undefined) {
    const whole = onePiece(json, jsonBytes, binary, total);
    const packed = worthCompressing(whole) ? await compress(whole, coding) : whole;
    if (packed !== whole) headers.push('Content-Encoding', coding);
    headers.push('Vary', 'Accept-Encoding', 'Content-Length', String(packed.byteLength));
    response.writeHead(200, headers);
    response.end(packed);
    return;
  }
  headers.push('Content-Length', String(total));
  response.writeHead(200, headers);
  if (binary === undefined) {
    response.end(json);
  } else if (total <= ONE_PIECE_BYTES) {
    response.end(onePiece(json, jsonBytes, binary, total));
  } else {
    response.write(json);
    for (const part of binary) response.write(part);
    response.end();
  }
}

/** Sends the answer of a stream of events: one, since every model here answers once. */
export function sendEvent(response: ServerResponse, json: string, provenance: Provenance): void {
  const event = eventText(json);
  const headers = ['Content-Type', 'text/event-stream; charset=utf-8', 'Cache-Control', 'no-cache'];
  headers.push('Content-Length', String(Buffer.byteLength(event)));
  pushProvenanceHeaders(headers, provenance);
  response.writeHead(200, headers);
  response.end(event);
}

/** The kernel has the last byte when `finish` comes. Where the client went away before, the memory is left to the collector. */
export function giveBackOnceSent(response: ServerResponse, spent: readonly Uint8Array[]): void {
  response.once('finish', () => {
    for (const memory of spent) reusedBuffers.giveBack(memory);
  });
}

function onePiece(json: string, jsonBytes: number, binary: AnswerBody['binary'], total: number): Buffer {
  const whole = Buffer.allocUnsafe(total);
  whole.write(json, 0);
  let at = jsonBytes;
  for (const part of binary ?? []) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

/** No address: a unix socket. */
function isLoopback(address: string | undefined): boolean {
  return address === undefined || address === '::1' || /^(::ffff:)?127\./.test(address);
}
