// Why a rollout was refused. `field` names what is wrong in the request.

export type RolloutErrorCode = 'invalid' | 'not-found' | 'conflict';

export class RolloutError extends Error {
  override readonly name = 'RolloutError';
  readonly code: RolloutErrorCode;
  readonly field: string | undefined;
  constructor(code: RolloutErrorCode, message: string, options: { cause?: unknown; field?: string } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.field = options.field;
  }
}
