// Greedy decoding of a CTC network's output (Graves et al. 2006, best path): the most probable class at each time step,
// repeats merged, blanks dropped. Input FP32 [N, T, C] of probabilities; outputs text BYTES [N] and confidence FP32 [N],
// the mean probability of the kept characters (0 for an empty line), as PaddleOCR computes it.
import { z } from 'zod';
import { packagePathSchema } from '../wire/manifest.js';
import { encodeBytes } from '../tensor/bytes.js';
import { bytesOf, float32Of, type Tensor } from '../tensor/tensor.js';
import { readLines } from './read-lines.js';
import { StepError, type StepDefinition } from './step.js';
import { expectTensor, expectType, onlyInput, typeName } from './step-types.js';

const STEP = 'ctc-decode';

const parameters = z.strictObject({
  /** A file of the package, one character a line: the classes in their order, without the blank. */
  dictionary: packagePathSchema,
  /** The blank's class. The dictionary's characters take the other classes in order. */
  blank: z.int().min(0).default(0),
  /** PaddleOCR's networks have the space as one more class after the dictionary. */
  appendSpace: z.boolean().default(true),
});

export const ctcDecode: StepDefinition<z.infer<typeof parameters>> = {
  name: STEP,
  parameters,
  prepare: async ({ dictionary, blank, appendSpace }, assets) => {
    const characters = await readLines(STEP, 'dictionary', dictionary, assets);
    if (appendSpace) characters.push(' ');
    if (blank > characters.length)
      throw new StepError(STEP, `with.blank: is beyond the ${characters.length + 1} classes`);
    characters.splice(blank, 0, '');
    const classes = characters.length;
    return {
      inferTypes: (inputs) => {
        const input = onlyInput(STEP, inputs);
        if (input.shape.length === 3 && ![-1, classes].includes(input.shape[2] ?? -1)) {
          throw new StepError(STEP, `with.dictionary: makes ${classes} classes, but the input is ${typeName(input)}`);
        }
        expectType(STEP, 'FP32', [-1, -1, classes], input);
        const [rows = -1] = input.shape;
        return [
          { datatype: 'BYTES', shape: [rows] },
          { datatype: 'FP32', shape: [rows] },
        ];
      },
      run: async (inputs) => {
        const input = onlyInput(STEP, inputs);
        expectTensor(STEP, 'FP32', [-1, -1, classes], input);
        return decodeAll(input, characters, blank);
      },
    };
  },
};

function decodeAll(input: Tensor, characters: readonly string[], blank: number): Tensor[] {
  const [rows = 0, steps = 0, classes = 0] = input.shape;
  const probabilities = float32Of(input);
  const texts: Uint8Array[] = [];
  const confidences = new Float32Array(rows);
  for (let row = 0; row < rows; row += 1) {
    const size = steps * classes;
    const { text, confidence } = decodeRow(
      probabilities.subarray(row * size, (row + 1) * size),
      classes,
      characters,
      blank,
    );
    texts.push(new TextEncoder().encode(text));
    confidences[row] = confidence;
  }
  return [
    { datatype: 'BYTES', shape: [rows], data: encodeBytes(texts) },
    { datatype: 'FP32', shape: [rows], data: bytesOf(confidences) },
  ];
}

function decodeRow(
  probabilities: Float32Array,
  classes: number,
  characters: readonly string[],
  blank: number,
): { text: string; confidence: number } {
  let [text, sum, kept, before] = ['', 0, 0, -1];
  for (let start = 0; start < probabilities.length; start += classes) {
    const best = largest(probabilities, start, classes);
    if (best !== blank && best !== before) {
      text += characters[best] ?? '';
      sum += probabilities[start + best] ?? 0;
      kept += 1;
    }
    before = best;
  }
  return { text, confidence: kept === 0 ? 0 : sum / kept };
}

/** The first of the largest, as numpy's argmax. */
function largest(values: Float32Array, start: number, count: number): number {
  let [best, most] = [0, values[start] ?? 0];
  for (let i = 1; i < count; i += 1) {
    const value = values[start + i]!;
    if (value > most) {
      best = i;
      most = value;
    }
  }
  return best;
}
