// What can be wrong with a tensor's data on its way from or to JSON. `field` names the element, as in `inputs[0].data[3]`.

type TensorDataErrorCode =
  | 'wrong-type' // an element is of another JSON type than the datatype asks for
  | 'out-of-range' // the datatype can't hold the value
  | 'wrong-count' // the data doesn't fill the shape
  | 'not-in-json' // the datatype or the value has no JSON form
  | 'imprecise'; // an integer beyond 2^53 that a plain JSON.parse has rounded: parse again, losslessly

export class TensorDataError extends Error {
  override readonly name = 'TensorDataError';
  readonly code: TensorDataErrorCode;
  readonly field: string;
  constructor(code: TensorDataErrorCode, field: string, message: string) {
    super(`${field}: ${message}`);
    this.code = code;
    this.field = field;
  }
}
