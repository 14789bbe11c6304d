// Why the registry would not do what it was asked. `field` names what is wrong: a field of the request, of model.yaml, or a file.

export type RegistryErrorCode =
  | 'not-found'
  | 'ambiguous' // a digest's beginning that fits several versions
  | 'invalid' // what was sent can't be right, whatever the registry holds
  | 'conflict' // it can't be done in the present state
  | 'too-large'
  | 'no-space';

export class RegistryError extends Error {
  override readonly name = 'RegistryError';
  readonly code: RegistryErrorCode;
  readonly field: string | undefined;
  constructor(code: RegistryErrorCode, message: string, options: { cause?: unknown; field?: string } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.field = options.field;
  }
}
