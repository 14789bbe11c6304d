// Why a model file was refused. Every message names the place in the model (`graph.node[12] (conv1)`), so that whoever made
// the file can find it.

export type OnnxErrorCode =
  | 'malformed' // not protobuf, or not these messages: truncated, a wrong wire type, a length past the end
  | 'too-large' // a stated limit of this codec
  | 'no-graph'
  | 'no-opset' // a node's domain is not imported
  | 'empty-name'
  | 'duplicate-name' // two values of one graph share a name
  | 'undefined-value' // a node or output reads what nothing makes
  | 'not-topological' // a node reads what only a later node makes
  | 'bad-type' // an input or output that has no tensor type of the protocol
  | 'bad-tensor' // dimensions, element type and data of a tensor contradict each other
  | 'bad-external-data' // a path outside the package folder, or no valid offset and length
  | 'unsupported'; // a valid thing that this reader does not do, e.g. data that lies in another file

export class OnnxError extends Error {
  override readonly name = 'OnnxError';
  readonly code: OnnxErrorCode;
  /** Where in the model; empty where the whole file is meant. */
  readonly where: string;
  constructor(code: OnnxErrorCode, message: string, where = '', options: { cause?: unknown } = {}) {
    super(where === '' ? message : `${where}: ${message}`, options);
    this.code = code;
    this.where = where;
  }
}
