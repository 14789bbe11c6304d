// Why samples and datasets could not be taken, changed or read. `field` names what in the request or the body is wrong.
import { ContentError, isDiskFull } from '@tidegate/shared/content/content-error.js';
import { SampleError } from '@tidegate/shared/wire/sample.js';

export type DataErrorCode =
  | 'not-found'
  | 'invalid' // what was sent can't be right, whatever the hub holds
  | 'forbidden' // the version's privacy policy does not allow it
  | 'conflict' // it can't be done in the present state
  | 'full' // a limit on what the hub keeps is reached
  | 'no-space' // the volume is full
  | 'busy'; // the same is being received at this moment; later it works

export class DataError extends Error {
  override readonly name = 'DataError';
  readonly code: DataErrorCode;
  readonly field: string | undefined;
  constructor(code: DataErrorCode, message: string, options: { cause?: unknown; field?: string } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.field = options.field;
  }
}

/** Reads what was sent; what is wrong with the bytes is DataError `invalid`. */
export function readSent<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof SampleError)) throw cause;
    throw new DataError('invalid', cause.message, { cause, field: cause.field });
  }
}

/** Whether the store or the database found the disk full, or as full as the store may make it. */
export function isNoSpace(cause: unknown): boolean {
  return isDiskFull(cause) || (cause instanceof ContentError && cause.code === 'no-space');
}
