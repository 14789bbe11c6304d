// Why what was ordered can't be carried out, raised in the job's process. `field` names which part of the order is at fault, as the API calls
// it. Why a job can't be had at all, the hub says itself: jobs/job-error.ts.

type OrderErrorCode =
  | 'bad-order' // order.json is missing or is none
  | 'no-samples' // nothing to train on
  | 'no-held-out' // a slice without a held-out side measures nothing
  | 'fixed-batch' // the graph takes batches of one size only
  | 'label-width' // targets and predictions differ in width
  | 'no-number' // parent or result answers with what can't be measured
  | 'too-large' // the result would pass what one ONNX file holds
  | 'memory-limit'; // the process holds more than it may

export class OrderError extends Error {
  override readonly name = 'OrderError';
  readonly code: OrderErrorCode;
  readonly field: string | undefined;
  constructor(code: OrderErrorCode, message: string, options: { cause?: unknown; field?: string } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.field = options.field;
  }
}
