// Why the device has no identity, or can't use it.

type IdentityErrorCode =
  | 'not-enrolled'
  | 'already-enrolled'
  | 'token-malformed'
  | 'unreachable' // no connection to the hub
  | 'foreign-hub' // somebody else answered: the pinned CA did not sign this certificate
  | 'clock' // the hub's certificate ended before the earliest time that it can be now, or begins after it
  | 'refused' // the hub said no; `hubCode` is its reason
  | 'invalid-answer' // the hub's answer does not fit the token and the key
  | 'damaged' // files of the identity can't be read
  | 'storage';

export class IdentityError extends Error {
  override readonly name = 'IdentityError';
  readonly code: IdentityErrorCode;
  /** `token-expired`, `name-taken` ... */
  readonly hubCode: string | undefined;
  constructor(code: IdentityErrorCode, message: string, options: { cause?: unknown; hubCode?: string } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.hubCode = options.hubCode;
  }
}
