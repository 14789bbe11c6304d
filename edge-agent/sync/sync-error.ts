// Why a step of keeping models in step failed. `transient` decides what follows: the step is tried again after a pause
// without counting as an attempt (no network, no space: nothing is wrong with the version), or the attempt has failed.

export type SyncErrorCode =
  | 'unreachable' // hub away, connection cut, stream stalled
  | 'no-space' // refused before the first byte, or the disk filled up
  | 'not-persisted' // the state database could not take the record
  | 'expired' // the newest signed metadata is too old: installs nothing new, until the hub signs again (B2)
  | 'untrusted' // signed metadata does not name this variant, or its signature is wrong
  | 'damaged' // bytes do not have the digest that the manifest says
  | 'load-failed'
  | 'self-test-failed'
  | 'probation-failed'
  | 'timeout'
  | 'interrupted'; // the agent died in this step too often

const TRANSIENT: ReadonlySet<SyncErrorCode> = new Set(['unreachable', 'expired', 'no-space', 'not-persisted']);

export class SyncError extends Error {
  override readonly name = 'SyncError';
  readonly code: SyncErrorCode;
  constructor(code: SyncErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
  }

  get transient(): boolean {
    return TRANSIENT.has(this.code);
  }
}
