// Why the runtime could not do what it was asked. `retryable` codes say that the same request may succeed in another
// executor; the others are the request's or the model's own fault.

export type RuntimeErrorCode =
  | 'load-failed' // the engine refused the model
  | 'not-compiled' // there is no compiled graph to load, and it is not to be compiled here
  | 'invalid-input' // a feed's name, datatype or shape is not the graph's
  | 'run-failed' // an operator failed
  | 'cancelled' // the caller's signal
  | 'executor-died' // the process ended in mid-run (retryable)
  | 'executor-hung' // beyond its measured time, killed (retryable)
  | 'state-lost' // the executor holds no such state of a sequence: it died, or never had it
  | 'quarantined' // its executors died too often
  | 'closed'; // the model or the pool was closed

export class RuntimeError extends Error {
  override readonly name = 'RuntimeError';
  readonly code: RuntimeErrorCode;
  constructor(code: RuntimeErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.code = code;
  }

  get retryable(): boolean {
    return this.code === 'executor-died' || this.code === 'executor-hung';
  }
}
