// Values that stay in ONNX Runtime between runs: weights that are trained, a cache that grows. What a run allocates for a
// carried output is the next run's input as it is; the value before it is released then. Nothing crosses to JavaScript.
// Invariants: the carried values are replaced all or none, after the run has succeeded; each is released exactly once, and none
// while a run is in flight.
import { inputValue, outputTensor, ownedValue, type InputValue, type ValueContext } from './values.js';
import { wordArray } from './table.js';
import { orderedFeeds, wantedOutputs } from '../feed-check.js';
import type { CopyOutput, EngineState } from '../../engine.js';
import { RuntimeError } from '../../runtime-error.js';
import type { NamedTensor, TensorSpec } from '../../../tensor/tensor.js';

/** One run of the session: `ins` in the graph's order of inputs; fills `outs` with values that are the caller's to release. */
export type Execute = (
  ins: BigUint64Array,
  wanted: readonly number[],
  outs: BigUint64Array,
  signal: AbortSignal,
) => Promise<void>;

interface GraphIo {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

/** A carried value: where the graph takes it and where it gives the next one. */
interface Carried {
  readonly input: number;
  readonly output: number;
  value: bigint;
}

export class CapiState implements EngineState {
  readonly #context: ValueContext;
  readonly #io: GraphIo;
  readonly #execute: Execute;
  readonly #carried: readonly Carried[];
  /** Inputs that the caller feeds, and outputs that the caller may ask for, by their place in the graph. */
  readonly #fed: readonly number[];
  readonly #free: readonly number[];
  #running: Promise<unknown> | undefined;
  #closed: Promise<void> | undefined;

  /** Throws RuntimeError `invalid-input`; nothing is held then. */
  constructor(
    context: ValueContext,
    io: GraphIo,
    execute: Execute,
    initial: readonly NamedTensor[],
    carried: ReadonlyMap<string, string>,
  ) {
    this.#context = context;
    this.#io = io;
    this.#execute = execute;
    const places = carriedPlaces(io, carried);
    const specs = places.map(({ input }) => at(io.inputs, input));
    const tensors = orderedFeeds(specs, initial);
    const inputs = new Set(places.map(({ input }) => input));
    const outputs = new Set(places.map(({ output }) => output));
    this.#fed = io.inputs.map((_, i) => i).filter((i) => !inputs.has(i));
    this.#free = io.outputs.map((_, i) => i).filter((i) => !outputs.has(i));
    this.#carried = tensors.map((tensor, i) => ({ ...at(places, i), value: ownedValue(context, tensor) }));
  }

  async run(
    feeds: readonly NamedTensor[],
    outputs: readonly string[],
    signal: AbortSignal,
    copy?: CopyOutput,
  ): Promise<NamedTensor[]> {
    if (this.#closed !== undefined) throw new RuntimeError('closed', 'the state is closed');
    if (this.#running !== undefined) throw new RuntimeError('invalid-input', 'a run with this state is in flight');
    const running = this.#run(feeds, outputs, signal, copy);
    this.#running = running;
    try {
      return await running;
    } finally {
      this.#running = undefined;
    }
  }

  read(names?: readonly string[]): NamedTensor[] {
    if (this.#closed !== undefined) throw new RuntimeError('closed', 'the state is closed');
    const byName = new Map(this.#carried.map((carried) => [at(this.#io.inputs, carried.input).name, carried]));
    return (names ?? [...byName.keys()]).map((name) => {
      const carried = byName.get(name);
      if (carried === undefined) throw new RuntimeError('invalid-input', `input "${name}" is not carried`);
      return { name, ...outputTensor(this.#context, carried.value) };
    });
  }

  close(): Promise<void> {
    this.#closed ??= Promise.allSettled([this.#running]).then(() => {
      for (const { value } of this.#carried) this.#context.ort.release('ReleaseValue', value);
    });
    return this.#closed;
  }

  async #run(
    feeds: readonly NamedTensor[],
    outputs: readonly string[],
    signal: AbortSignal,
    copy: CopyOutput | undefined,
  ): Promise<NamedTensor[]> {
    const { ort } = this.#context;
    const fed = orderedFeeds(
      this.#fed.map((i) => at(this.#io.inputs, i)),
      feeds,
    );
    const free = this.#free.map((i) => at(this.#io.outputs, i));
    const wanted = wantedOutputs(free, outputs).map((i) => at(this.#free, i));
    const fetched = [...this.#carried.map(({ output }) => output), ...wanted];
    const ins = wordArray(this.#io.inputs.length);
    const outs = wordArray(fetched.length);
    const held: InputValue[] = [];
    try {
      for (const { input, value } of this.#carried) ins[input] = value;
      for (const [i, feed] of fed.entries()) {
        const value = inputValue(this.#context, feed);
        held.push(value);
        ins[at(this.#fed, i)] = value.value;
      }
      await this.#execute(ins, fetched, outs, signal);
      const answers = wanted.map((index, i) => {
        const value = outs[this.#carried.length + i] ?? 0n;
        return { name: at(this.#io.outputs, index).name, ...outputTensor(this.#context, value, copy) };
      });
      // Nothing below fails: from here on `outs` holds the values before, which are released.
      for (const [i, carried] of this.#carried.entries()) {
        const next = outs[i] ?? 0n;
        outs[i] = carried.value;
        carried.value = next;
      }
      return answers;
    } finally {
      for (const { value } of held) ort.release('ReleaseValue', value);
      for (const value of outs) if (value !== 0n) ort.release('ReleaseValue', value);
    }
  }
}

/** Places of the carried values in the graph. Throws RuntimeError `invalid-input`. */
function carriedPlaces(io: GraphIo, carried: ReadonlyMap<string, string>): { input: number; output: number }[] {
  const refuse = (message: string): never => {
    throw new RuntimeError('invalid-input', message);
  };
  const taken = new Set<string>();
  return [...carried].map(([outputName, inputName]) => {
    const input = io.inputs.findIndex(({ name }) => name === inputName);
    const output = io.outputs.findIndex(({ name }) => name === outputName);
    if (input < 0) refuse(`input "${inputName}" is not an input of the model`);
    if (output < 0) refuse(`output "${outputName}" is not an output of the model`);
    if (taken.has(inputName)) refuse(`input "${inputName}" is carried twice`);
    taken.add(inputName);
    const [to, from] = [at(io.inputs, input), at(io.outputs, output)];
    if (to.datatype !== from.datatype) {
      refuse(`output "${outputName}" is ${from.datatype}, the input "${inputName}" takes ${to.datatype}`);
    }
    const fits = (d: number, i: number): boolean => d < 0 || (from.shape[i] ?? -1) < 0 || d === from.shape[i];
    if (to.shape.length !== from.shape.length || !to.shape.every(fits)) {
      refuse(
        `output "${outputName}" has the shape [${from.shape.join()}], the input "${inputName}" takes [${to.shape.join()}]`,
      );
    }
    return { input, output };
  });
}

/** An element that is there by construction. */
function at<T>(list: readonly T[], index: number): T {
  const value = list[index];
  if (value === undefined) throw new Error(`no element ${index} of ${list.length}`);
  return value;
}
