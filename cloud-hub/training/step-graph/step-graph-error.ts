// Why no step graph can be made of a model. Raised before anything runs, with the place in the graph or the option's field.

type StepGraphErrorCode =
  | 'old-graph' // its operator set is older than the gradients need
  | 'bad-output' // the value that the loss takes is not there, or not of that kind
  | 'nothing-to-train' // no float weights reach the loss, or all are frozen
  | 'wrong-type' // a weight in half precision, or quantized
  | 'unmatched-pattern' // `freeze` or `rates` names nothing in the graph: most likely a slip
  | 'bad-values'; // values to put back that are not the graph's

export class StepGraphError extends Error {
  override readonly name = 'StepGraphError';
  readonly code: StepGraphErrorCode;
  constructor(code: StepGraphErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.code = code;
  }
}
