// Why a graph cannot be differentiated. Raised before anything runs, with the place in the graph.

type GradientErrorCode =
  | 'no-gradient' // an operator, or a form of it, that no rule covers
  | 'not-connected' // the loss does not depend on the parameter
  | 'unknown-value' // the loss or a parameter is not in the graph
  | 'bad-graph'; // no graph, an operator set too old or mixed float types

export class GradientError extends Error {
  override readonly name = 'GradientError';
  readonly code: GradientErrorCode;
  /** The node or value; empty where the whole graph is meant. */
  readonly where: string;
  constructor(code: GradientErrorCode, message: string, where = '', options: { cause?: unknown } = {}) {
    super(where === '' ? message : `${where}: ${message}`, options);
    this.code = code;
    this.where = where;
  }
}
