// Why the fleet refused.

type FleetErrorCode = 'unknown-device' | 'duplicate-name';

export class FleetError extends Error {
  override readonly name = 'FleetError';
  readonly code: FleetErrorCode;
  constructor(code: FleetErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.code = code;
  }
}
