// Why a job can't go on. Raised where what was ordered is at fault; `field` names which part of the order, as the API calls it.

type JobErrorCode =
  | 'bad-order' // order.json is missing or is none
  | 'no-samples' // nothing to train on
  | 'no-held-out' // a slice without a held-out side measures nothing
  | 'fixed-batch' // the graph takes batches of one size only
  | 'label-width' // targets and predictions differ in width
  | 'too-large' // the result would pass what one ONNX file holds
  | 'memory-limit'; // the process holds more than it may

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
