// Keeps the rows whose score is high enough, of the scores and of everything that belongs to them row by row. Inputs FP32
// [N] and any values [N, ...]; outputs the same with K <= N rows, in their order. A NaN is never high enough.
import { z } from 'zod';
import { takeRows } from '../tensor/take-rows.js';
import { float32Of } from '../tensor/tensor.js';
import { StepError, type StepDefinition, type ValueType } from './step.js';
import { expectTensor, expectType, typeName } from './step-types.js';

const STEP = 'filter-rows';

const parameters = z.strictObject({
  /** Rows with a score under this one are dropped. */
  least: z.number(),
});

export const filterRows: StepDefinition<z.infer<typeof parameters>> = {
  name: STEP,
  parameters,
  prepare: ({ least }) =>
    Promise.resolve({
      inferTypes: (inputs) => {
        const [scores] = inputs;
        if (scores === undefined) throw new StepError(STEP, 'takes the scores first');
        expectType(STEP, 'FP32', [-1], scores);
        return inputs.map((input) => {
          checkRows(input, scores);
          return { datatype: input.datatype, shape: [-1, ...input.shape.slice(1)] };
        });
      },
      run: async (inputs) => {
        const [scores] = inputs;
        if (scores === undefined) throw new StepError(STEP, 'takes the scores first');
        expectTensor(STEP, 'FP32', [-1], scores);
        const kept = [...float32Of(scores)].flatMap((score, at) => (score >= least ? [at] : []));
        return inputs.map((input) => {
          checkRows(input, scores);
          return takeRows(input, kept.length, (at) => ({ of: input, at: kept[at]! }));
        });
      },
    }),
};

function checkRows(input: ValueType, scores: ValueType): void {
  const [rows, expected = -1] = [input.shape[0], scores.shape[0]];
  if (rows !== undefined && (rows < 0 || expected < 0 || rows === expected)) return;
  throw new StepError(STEP, `takes one row a score, but is given ${typeName(input)} for ${typeName(scores)}`);
}
