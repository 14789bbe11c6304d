// A refusal as gRPC tells it: a status code, the message with the field in it, and what HTTP says in headers as trailing
// metadata. Codes are those that clients act on: UNAVAILABLE may be tried again, as 503 may over HTTP, and
// `grpc-retry-pushback-ms` says when (gRFC A6).
import { Metadata, status, type StatusObject } from '@grpc/grpc-js';
import { headerText } from '../http/answer-body.js';
import { textWithField, type ServingError, type ServingErrorCode } from '../serving-error.js';

export const GRPC_STATUS: Readonly<Record<ServingErrorCode, status>> = {
  'invalid-argument': status.INVALID_ARGUMENT,
  'not-found': status.NOT_FOUND,
  'too-large': status.RESOURCE_EXHAUSTED,
  'deadline-exceeded': status.DEADLINE_EXCEEDED,
  'would-miss-deadline': status.UNAVAILABLE,
  'queue-full': status.UNAVAILABLE,
  'rate-limited': status.RESOURCE_EXHAUSTED,
  'not-ready': status.UNAVAILABLE,
  forbidden: status.PERMISSION_DENIED,
  'sequence-lost': status.ABORTED,
  'hub-unavailable': status.UNAVAILABLE,
  unimplemented: status.UNIMPLEMENTED,
  cancelled: status.CANCELLED,
  failed: status.INTERNAL,
};

/** Trailing metadata of more than 8 KB is refused by clients, and percent-encoding makes three bytes of one. */
const TEXT_LENGTH_MAX = 2000;

type Refusal = Pick<StatusObject, 'code' | 'details' | 'metadata'>;

export function refusalOf(error: ServingError): Refusal {
  const metadata = new Metadata();
  metadata.set('tidegate-error', error.code);
  if (error.field !== undefined)
    metadata.set('tidegate-error-field', headerText(error.field).slice(0, TEXT_LENGTH_MAX));
  if (error.retryAfterMs !== undefined) {
    const wait = String(Math.max(0, Math.round(error.retryAfterMs)));
    metadata.set('tidegate-retry-after-ms', wait);
    metadata.set('grpc-retry-pushback-ms', wait);
  }
  return { code: GRPC_STATUS[error.code], details: refusalText(error), metadata };
}

/** Begins with the field. */
export function refusalText(error: ServingError): string {
  const text = textWithField(error);
  const short = text.length > TEXT_LENGTH_MAX ? `${text.slice(0, TEXT_LENGTH_MAX)}...` : text;
  return short.replaceAll(/\p{Surrogate}/gu, '\ufffd'); // half a character, which no UTF-8 carries
}
