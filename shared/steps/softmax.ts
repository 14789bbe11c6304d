// Logits -> probabilities along the last dimension. Input and output FP32 [..., C].
import { z } from 'zod';
import { bytesOf, float32Of } from '../tensor/tensor.js';
import { softmaxRow } from './scores.js';
import { StepError, type StepDefinition, type ValueType } from './step.js';
import { onlyInput, typeName } from './step-types.js';

const STEP = 'softmax';
const parameters = z.strictObject({});

export const softmax: StepDefinition<z.infer<typeof parameters>> = {
  name: STEP,
  parameters,
  prepare: () =>
    Promise.resolve({
      inferTypes: (inputs) => {
        const input = onlyInput(STEP, inputs);
        expectRows(input);
        return [input];
      },
      run: async (inputs) => {
        const input = onlyInput(STEP, inputs);
        expectRows(input);
        const classes = input.shape.at(-1) ?? 0;
        if (classes === 0) throw new StepError(STEP, 'is given rows without classes');
        const scores = float32Of(input);
        const out = new Float32Array(scores.length);
        for (let start = 0; start < scores.length; start += classes) {
          softmaxRow(scores.subarray(start, start + classes), out.subarray(start, start + classes));
        }
        return [{ datatype: 'FP32', shape: input.shape, data: bytesOf(out) }];
      },
    }),
};

function expectRows(input: ValueType): void {
  if (input.datatype === 'FP32' && input.shape.length > 0) return;
  throw new StepError(STEP, `takes FP32 of at least one dimension, but is given ${typeName(input)}`);
}
