// Why a model on disk can't be used as it is.

type ModelStoreErrorCode =
  | 'missing' // no manifest, or not all files: download
  | 'damaged'; // bytes are not what a digest says; what was wrong is gone from disk

export class ModelStoreError extends Error {
  override readonly name = 'ModelStoreError';
  readonly code: ModelStoreErrorCode;
  constructor(code: ModelStoreErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
  }
}
