// Refusals of the security domain, each with the field that is wrong where a caller sent one.

export type SecurityErrorCode =
  | 'keys-missing' // the key store was taken away, or never made
  | 'keys-damaged'
  | 'token-unknown'
  | 'token-expired'
  | 'token-used-up'
  | 'key-invalid' // not a P-256 public key
  | 'proof-invalid' // the caller doesn't hold the key
  | 'name-taken'
  | 'revoked'
  | 'target-path'
  | 'metadata-damaged';

export class SecurityError extends Error {
  override readonly name = 'SecurityError';
  readonly code: SecurityErrorCode;
  readonly field: string | undefined;
  constructor(code: SecurityErrorCode, message: string, options: { cause?: unknown; field?: string } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.field = options.field;
  }
}
