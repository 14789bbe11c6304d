// Hands on one of two sides, by the value of its first input: `inputs: [score, then..., else...]`. The pipeline makes the value first, and then
// only what the side that is taken needs, item by item inside a list. Both sides are of one type each, whichever is taken; the second may be
// constants that the package declares.
import { z } from 'zod';
import { decodeBytes } from '../tensor/bytes.js';
import { DATATYPES } from '../tensor/datatype.js';
import { elementsOf } from '../tensor/elements.js';
import { tensorDataFromJson } from '../tensor/json-data.js';
import { TensorDataError } from '../tensor/tensor-data-error.js';
import { elementCount, type Tensor } from '../tensor/tensor.js';
import { StepError, type Choosing, type StepDefinition, type ValueType } from './step.js';
import { typeName } from './step-types.js';

const STEP = 'branch';
const INTEGERS = new Set(['UINT8', 'UINT16', 'UINT32', 'UINT64', 'INT8', 'INT16', 'INT32', 'INT64', 'BOOL']);
const FLOATS = new Set(['FP32', 'FP64']);

const constant = z.strictObject({
  datatype: z.enum(DATATYPES),
  shape: z.array(z.int().min(0)).max(8),
  /** Elements in row-major order. */
  data: z.array(z.union([z.number(), z.string(), z.boolean()])).max(65_536),
});

const parameters = z
  .strictObject({
    /** The first side where the value is larger. */
    above: z.number().optional(),
    /** The first side where the value is smaller, or no number at all. */
    below: z.number().optional(),
    /** The first side where the value is this text or integer. */
    equals: z.union([z.string().max(256), z.int()]).optional(),
    /** The first side where the value has no rows. */
    empty: z.literal(true).optional(),
    /** What the second side is, instead of inputs. */
    default: z.array(constant).min(1).max(16).optional(),
  })
  .superRefine(({ above, below, equals, empty }, context) => {
    const given = [above, below, equals, empty].filter((test) => test !== undefined).length;
    if (given === 1) return;
    context.addIssue({ code: 'custom', message: `takes one of above, below, equals, empty, but ${given} are given` });
  });
type BranchParameters = z.infer<typeof parameters>;

export const branch: StepDefinition<BranchParameters> = {
  name: STEP,
  parameters,
  prepare: async (settings) => {
    const constants = settings.default?.map(constantOf);
    const chooses = choosing(settings, constants);
    return {
      chooses,
      inferTypes: (inputs) => inferSides(inputs, settings, chooses),
      run: async ([first, ...taken]) => {
        if (first === undefined) throw new StepError(STEP, 'is given no value');
        return constants !== undefined && !chooses.holds(first) ? constants : taken;
      },
    };
  },
};

function constantOf({ datatype, shape, data }: z.infer<typeof constant>, at: number): Tensor {
  const field = `with.default.${at}.data`;
  if (elementCount(shape) !== data.length) {
    throw new StepError(STEP, `${field}: has ${data.length} elements, but its shape is [${shape.join(', ')}]`);
  }
  try {
    return { datatype, shape, data: tensorDataFromJson(datatype, shape, data, field) };
  } catch (cause) {
    if (!(cause instanceof TensorDataError)) throw cause;
    throw new StepError(STEP, cause.message, { cause });
  }
}

function choosing(settings: BranchParameters, constants: Choosing['constants']): Choosing {
  return {
    holds: (first) => holds(first, settings),
    side: (held, inputs) => {
      const size = constants === undefined ? (inputs - 1) / 2 : inputs - 1;
      if (constants !== undefined && !held) return [];
      return Array.from({ length: size }, (_, at) => 1 + at + (held ? 0 : size));
    },
    byRow: ({ shape }) => settings.empty === undefined && shape.some((size) => size !== 1),
    constants,
  };
}

function holds(first: Tensor, { above, below, equals, empty }: BranchParameters): boolean {
  checkTested(first, { above, below, equals, empty });
  if (empty === true) return first.shape[0] === 0;
  if (elementCount(first.shape) !== 1) {
    throw new StepError(STEP, `decides by one value, but is given ${typeName(first)}`);
  }
  if (first.datatype === 'BYTES') return new TextDecoder().decode(decodeBytes(first.data)?.[0]) === equals;
  const value = Number(elementsOf(first.datatype, first.data)[0]);
  if (above !== undefined) return value > above;
  return below === undefined ? value === equals : !(value >= below);
}

/** Can the value be tested so? */
function checkTested(first: ValueType, { equals, empty }: Partial<BranchParameters>): void {
  const { datatype, shape } = first;
  if (empty === true) {
    if (shape.length > 0) return;
    throw new StepError(STEP, `with.empty: takes a value with rows, but is given ${typeName(first)}`);
  }
  const wanted = equals === undefined ? 'a number' : typeof equals === 'string' ? 'BYTES' : 'an integer';
  const fits = {
    'a number': INTEGERS.has(datatype) || FLOATS.has(datatype),
    BYTES: datatype === 'BYTES',
    'an integer': INTEGERS.has(datatype),
  }[wanted];
  if (fits !== true) throw new StepError(STEP, `decides by ${wanted}, but is given ${typeName(first)}`);
}

function inferSides(
  inputs: readonly ValueType[],
  settings: BranchParameters,
  { side, constants }: Choosing,
): ValueType[] {
  const [first] = inputs;
  if (first === undefined || inputs.length < 2 || (constants === undefined && inputs.length % 2 === 0)) {
    const what = constants === undefined ? 'equally many for both sides' : 'those of the first side';
    throw new StepError(STEP, `takes a value and then ${what}, but ${inputs.length} inputs are given`);
  }
  checkTested(first, settings);
  if (settings.empty === undefined && first.shape.some((size) => size >= 0 && size !== 1)) {
    throw new StepError(STEP, `decides by one value, but is given ${typeName(first)}`);
  }
  const ofSide = (held: boolean): ValueType[] => side(held, inputs.length).flatMap((at) => inputs[at] ?? []);
  const [held, other] = [ofSide(true), constants ?? ofSide(false)];
  if (held.length !== other.length) {
    throw new StepError(STEP, `with.default: gives ${other.length} values, but the first side has ${held.length}`);
  }
  return held.map((type, at) => either(type, other[at]!, at));
}

/** The type that holds both. */
function either(a: ValueType, b: ValueType, at: number): ValueType {
  const fits = a.shape.every((size, axis) => size < 0 || b.shape[axis]! < 0 || size === b.shape[axis]);
  if (a.datatype !== b.datatype || a.shape.length !== b.shape.length || !fits) {
    throw new StepError(STEP, `its sides differ in value ${at}: ${typeName(a)} and ${typeName(b)}`);
  }
  return { datatype: a.datatype, shape: a.shape.map((size, axis) => (size === b.shape[axis] ? size : -1)) };
}
