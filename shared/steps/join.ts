// A list -> one value, the items' rows one after another along dimension 0: how what was done for each line of a picture
// becomes an answer. An empty list becomes a value of no rows (the pipeline makes it, for a list of none has no shape).
import { z } from 'zod';
import type { Tensor } from '../tensor/tensor.js';
import { StepError, type StepDefinition } from './step.js';
import { typeName } from './step-types.js';

const STEP = 'join';
const parameters = z.strictObject({});

export const join: StepDefinition<z.infer<typeof parameters>> = {
  name: STEP,
  parameters,
  lists: 'joins',
  prepare: () =>
    Promise.resolve({
      inferTypes: ([item]) => {
        if (item === undefined || item.shape.length === 0)
          throw new StepError(STEP, 'takes items of at least one dimension');
        return [{ datatype: item.datatype, shape: [-1, ...item.shape.slice(1)] }];
      },
      run: async (items) => [joinRows(items)],
    }),
};

function joinRows(items: readonly Tensor[]): Tensor {
  const [first] = items;
  if (first === undefined) throw new StepError(STEP, 'is given no item');
  const tail = first.shape.slice(1);
  const data = new Uint8Array(items.reduce((sum, item) => sum + item.data.byteLength, 0));
  let [rows, at] = [0, 0];
  for (const item of items) {
    if (item.datatype !== first.datatype || String(item.shape.slice(1)) !== String(tail)) {
      throw new StepError(STEP, `can't join ${typeName(item)} to ${typeName(first)}`);
    }
    rows += item.shape[0] ?? 0;
    data.set(item.data, at);
    at += item.data.byteLength;
  }
  return { datatype: first.datatype, shape: [rows, ...tail], data };
}
