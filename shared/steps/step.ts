// A built-in step before or after a model: data in `model.yaml`, code only here (design 13). A step is a file
// `shared/steps/<name>.ts` with the schema of its parameters, type inference and the run. Steps are pure: same bytes in,
// same bytes out, so that training, calibration and the edge see equal tensors.
import type { z } from 'zod';
import type { Tensor, TensorSpec } from '../tensor/tensor.js';

/** Datatype and shape of a value in the pipeline; -1 = only known at run time. */
export type ValueType = Omit<TensorSpec, 'name'>;

export interface StepAssets {
  /** A file of the package, read once at load; throws StepError where it is missing. */
  read(path: string): Promise<Uint8Array>;
}

/** How a step hands on one side of its inputs. Its first input decides, and belongs to neither side. */
export interface Choosing {
  /** Does the test hold, so that the first side is taken? Throws StepError. */
  holds(first: Tensor): boolean;
  /** Positions of a side's inputs, of so many that the node names. */
  side(held: boolean, inputs: number): readonly number[];
  /** Does a value of this type (-1 = any) want several decisions, one for each row? */
  byRow(first: ValueType): boolean;
  /** What stands for the second side, instead of inputs. */
  readonly constants: readonly Tensor[] | undefined;
}

/** A step with its parameters parsed and its assets read. */
export interface PreparedStep {
  /** Of a step that chooses: `run` is given the first input and those of the side that it takes, and what makes the others isn't run. */
  readonly chooses?: Choosing;
  /** Types of the outputs, or throws StepError naming the input that doesn't fit. */
  inferTypes(inputs: readonly ValueType[]): ValueType[];
  /** Throws StepError for input that can't be processed (no picture, too large). */
  run(inputs: readonly Tensor[], signal: AbortSignal): Promise<Tensor[]>;
}

export interface StepDefinition<Parameters> {
  readonly name: string;
  readonly parameters: z.ZodType<Parameters>;
  /** The step takes one item ([1]) at a time: the pipeline splits a request's [N] along dimension 0 and joins the answers. */
  readonly takesItems?: true;
  /**
   * `makes`: its output is a list, and what `run` and `inferTypes` give are the items and their one type; such items may differ in
   * shape. `joins`: its input is a list, whose items (at least one) are the inputs of `run`. Any other step that is fed a list
   * runs once for each item.
   */
  readonly lists?: 'makes' | 'joins';
  prepare(parameters: Parameters, assets: StepAssets): Promise<PreparedStep>;
}

export class StepError extends Error {
  override readonly name = 'StepError';
  readonly step: string;
  constructor(step: string, message: string, options: { cause?: unknown } = {}) {
    super(`step ${step}: ${message}`, options);
    this.step = step;
  }
}
