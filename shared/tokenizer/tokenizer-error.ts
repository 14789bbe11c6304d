// Why a tokenizer file of a package is refused.

export class TokenizerError extends Error {
  override readonly name = 'TokenizerError';
  /** Path of what is wrong inside the file, such as `model.merges.17`; empty = the file as a whole. */
  readonly field: string;
  constructor(field: string, message: string, options: { cause?: unknown } = {}) {
    super(field === '' ? message : `${field}: ${message}`, options);
    this.field = field;
  }
}
