// JSON data of a request -> the bytes of its tensor, exactly: where reading the JSON rounded an integer, it is read again.
import type { Datatype } from '../../tensor/datatype.js';
import { tensorDataFromJson } from '../../tensor/json-data.js';
import { TensorDataError } from '../../tensor/tensor-data-error.js';
import { ServingError } from '../serving-error.js';

/** `exact` gives the same data with every digit (parseExactJson). Throws ServingError `invalid-argument` naming the element. */
export function jsonTensorData(
  datatype: Datatype,
  shape: readonly number[],
  data: unknown,
  field: string,
  exact: () => unknown,
): Uint8Array {
  try {
    try {
      return tensorDataFromJson(datatype, shape, data, field);
    } catch (error) {
      if (!(error instanceof TensorDataError) || error.code !== 'imprecise') throw error;
      return tensorDataFromJson(datatype, shape, exact(), field);
    }
  } catch (error) {
    if (!(error instanceof TensorDataError)) throw error;
    throw new ServingError('invalid-argument', error.message, { field: error.field, cause: error });
  }
}
