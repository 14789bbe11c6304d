// A refusal with its reason, as every protocol answers it. `field` names what is wrong in the request.
import type { Log } from '../system/log.js';

export type ServingErrorCode =
  | 'invalid-argument' // 400
  | 'not-found' // 404: no such model or version
  | 'too-large' // 413
  | 'deadline-exceeded' // 504: accepted, but its time ran out
  | 'would-miss-deadline' // 503: refused at admission
  | 'queue-full' // 503
  | 'rate-limited' // 429: more requests than the model may get
  | 'not-ready' // 503: model loading, or the server draining
  | 'forbidden' // 403: the privacy policy or the placement says no
  | 'sequence-lost' // 409: the state of the sequence is gone, and its caller has to start it again
  | 'hub-unavailable' // 503: only the hub could answer, and it can't be reached
  | 'unimplemented' // 501: a call of the protocol that this server does not offer
  | 'cancelled' // 499: the client went away
  | 'failed'; // 500: the executor failed, also when retried

export const HTTP_STATUS: Readonly<Record<ServingErrorCode, number>> = {
  'invalid-argument': 400,
  'not-found': 404,
  'too-large': 413,
  'deadline-exceeded': 504,
  'would-miss-deadline': 503,
  'queue-full': 503,
  'rate-limited': 429,
  'not-ready': 503,
  forbidden: 403,
  'sequence-lost': 409,
  'hub-unavailable': 503,
  unimplemented: 501,
  cancelled: 499,
  failed: 500,
};

export class ServingError extends Error {
  override readonly name = 'ServingError';
  readonly code: ServingErrorCode;
  readonly field: string | undefined;
  readonly retryAfterMs: number | undefined;
  constructor(
    code: ServingErrorCode,
    message: string,
    options: { cause?: unknown; field?: string; retryAfterMs?: number } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.field = options.field;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** What a caller reads: `FIELD: what is wrong`, where a field is. */
export function textWithField({ message, field }: Pick<ServingError, 'message' | 'field'>): string {
  return field === undefined || message.startsWith(field) ? message : `${field}: ${message}`;
}

/** What new requests are told from the moment the server drains. */
export function shuttingDown(): ServingError {
  return new ServingError('not-ready', 'the server is shutting down', { retryAfterMs: 1000 });
}

/** What a caller is told of whatever was thrown: a bug of ours is logged with `what` failed, and told without its text. */
export function asServingError(error: unknown, log: Log, what: string, facts: object = {}): ServingError {
  if (error instanceof ServingError) return error;
  log.error({ error, ...facts }, `${what} failed unexpectedly`);
  return new ServingError('failed', 'internal error', { cause: error });
}
