// Why a training job was refused or could not be changed. `field` names what is wrong in the request.

export type JobErrorCode =
  | 'not-found'
  | 'invalid' // what was asked for can't be trained, whatever state the hub is in
  | 'conflict'; // it can't be done in the present state

export class JobError extends Error {
  override readonly name = 'JobError';
  readonly code: JobErrorCode;
  readonly field: string | undefined;
  constructor(code: JobErrorCode, message: string, options: { cause?: unknown; field?: string } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.field = options.field;
  }
}
