// Why samples and datasets could not be taken, changed or read. `field` names what in the request or the body is wrong.

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
