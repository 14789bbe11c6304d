// Raw bytes -> the JSON text of `data`, exactly: 64-bit integers keep every digit, a float is printed so that it reads back
// to the same bits (-0 too), and what JSON can't carry (FP16, BF16, NaN, infinities, bytes that are no UTF-8) is refused
// with a hint to ask for binary data. Always flat; the shape stands beside it.
import { isUtf8 } from 'node:buffer';
import { decodeBytes } from './bytes.js';
import { elementsOf } from './elements.js';
import type { Tensor } from './tensor.js';
import { TensorDataError } from './tensor-data-error.js';

/** `[1,2,3]`. `field` is what errors begin with (`outputs[0]`). Throws TensorDataError `not-in-json`. */
export function tensorDataToJson(value: Tensor, field: string): string {
  const { datatype, data } = value;
  switch (datatype) {
    case 'FP16':
    case 'BF16':
      throw new TensorDataError('not-in-json', field, `${datatype} has no JSON form: ask for it as binary data`);
    case 'BYTES':
      return stringsText(data, field);
    case 'BOOL':
      return `[${Array.from(data, (element) => element !== 0).join(',')}]`;
    case 'FP32':
    case 'FP64':
      return floatsText(elementsOf(datatype, data) as Float32Array | Float64Array, field);
    default:
      return `[${elementsOf(datatype, data).join(',')}]`;
  }
}

function floatsText(elements: Float32Array | Float64Array, field: string): string {
  let negativeZero = false;
  for (let i = 0; i < elements.length; i++) {
    const element = elements[i] as number;
    if (element - element !== 0) {
      const text = `${element} has no JSON form: ask for this output as binary data`;
      throw new TensorDataError('not-in-json', `${field}.data[${i}]`, text);
    }
    if (element === 0 && 1 / element < 0) negativeZero = true;
  }
  if (!negativeZero) return `[${elements.join(',')}]`;
  return `[${Array.from(elements, (element) => (Object.is(element, -0) ? '-0.0' : String(element))).join(',')}]`;
}

function stringsText(data: Uint8Array, field: string): string {
  const elements = decodeBytes(data);
  if (elements === undefined)
    throw new TensorDataError('wrong-count', field, 'the lengths of its elements run past the end');
  const texts = elements.map((element, i) => {
    if (!isUtf8(element)) {
      const text = 'not UTF-8 text: ask for this output as binary data';
      throw new TensorDataError('not-in-json', `${field}.data[${i}]`, text);
    }
    return JSON.stringify(Buffer.from(element.buffer, element.byteOffset, element.byteLength).toString('utf8'));
  });
  return `[${texts.join(',')}]`;
}
