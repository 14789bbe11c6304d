// Why a target could not be verified. `refused` means that somebody served what the release keys did not sign in this order.

type TufErrorCode =
  | 'unreachable' // the repository could not be reached, or answered with an error
  | 'expired' // the newest metadata is too old by trusted time; nothing new may be installed on it
  | 'refused' // signature, hash, length, version or form is wrong
  | 'unknown-target' // verified metadata do not name this target
  | 'storage'; // the device's own disk

export class TufError extends Error {
  override readonly name = 'TufError';
  readonly code: TufErrorCode;
  constructor(code: TufErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.code = code;
  }
}
