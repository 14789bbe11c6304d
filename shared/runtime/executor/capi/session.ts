// One graph in ONNX Runtime's C API: many runs at once, each on a thread of libuv's pool, each of them endable.
// Invariant: nothing that a run uses is released before it has returned, and the session outlives its runs.
import { CapiState, type Execute } from './state.js';
import { outputTensor, inputValue, dimensionsOf, type InputValue, type ValueContext } from './values.js';
import { addressOf, textAt, wordArray } from './table.js';
import { orderedFeeds, wantedOutputs } from '../feed-check.js';
import type { CopyOutput, EngineSession, EngineState, ProviderReport } from '../../engine.js';
import { RuntimeError } from '../../runtime-error.js';
import { datatypeOfOnnx } from '../../../tensor/datatype.js';
import type { NamedTensor, TensorSpec } from '../../../tensor/tensor.js';

const ONNX_TYPE_TENSOR = 1;

/** A `const char* const*` and the strings that it points to. */
interface NativeNames {
  readonly pointers: BigUint64Array;
  readonly held: readonly Buffer[];
}

export class CapiSession implements EngineSession {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly provider: ProviderReport;
  readonly #context: ValueContext;
  readonly #session: bigint;
  readonly #inputNames: NativeNames;
  /** By wanted outputs; few in practice, as a model has few. */
  readonly #outputNames = new Map<string, NativeNames>();
  readonly #inFlight = new Set<Promise<unknown>>();
  #closed: Promise<void> | undefined;

  constructor(context: ValueContext, session: bigint, io: SessionIo, provider: ProviderReport) {
    this.#context = context;
    this.#session = session;
    this.inputs = io.inputs;
    this.outputs = io.outputs;
    this.provider = provider;
    this.#inputNames = nativeNames(this.inputs.map((input) => input.name));
  }

  async run(
    feeds: readonly NamedTensor[],
    outputs: readonly string[],
    signal: AbortSignal,
    copy?: CopyOutput,
  ): Promise<NamedTensor[]> {
    if (this.#closed !== undefined) throw new RuntimeError('closed', 'the session is closed');
    const ordered = orderedFeeds(this.inputs, feeds);
    const wanted = wantedOutputs(this.outputs, outputs);
    const { ort } = this.#context;
    const held: InputValue[] = [];
    const outs = wordArray(wanted.length);
    try {
      const ins = wordArray(ordered.length);
      for (const feed of ordered) {
        ins[held.length] = held[held.push(inputValue(this.#context, feed)) - 1]?.value ?? 0n;
      }
      await this.#execute(ins, wanted, outs, signal);
      return wanted.map((index, i) => {
        return { name: this.outputs[index]?.name ?? '', ...outputTensor(this.#context, outs[i] ?? 0n, copy) };
      });
    } catch (cause) {
      throw runError(cause);
    } finally {
      for (const { value } of held) ort.release('ReleaseValue', value);
      for (const value of outs) if (value !== 0n) ort.release('ReleaseValue', value);
    }
  }

  openState(initial: readonly NamedTensor[], carried: ReadonlyMap<string, string>): EngineState {
    if (this.#closed !== undefined) throw new RuntimeError('closed', 'the session is closed');
    const execute: Execute = (ins, wanted, outs, signal) => this.#execute(ins, wanted, outs, signal);
    return new CapiState(this.#context, this, execute, initial, carried);
  }

  close(): Promise<void> {
    this.#closed ??= Promise.allSettled(this.#inFlight).then(() => {
      this.#context.ort.release('ReleaseSession', this.#session);
    });
    return this.#closed;
  }

  async #execute(
    ins: BigUint64Array,
    wanted: readonly number[],
    outs: BigUint64Array,
    signal: AbortSignal,
  ): Promise<void> {
    if (this.#closed !== undefined) throw new RuntimeError('closed', 'the session is closed');
    if (signal.aborted) throw new RuntimeError('cancelled', 'cancelled before it began');
    const running = this.#call(ins, wanted, outs, signal);
    this.#inFlight.add(running);
    try {
      await running;
    } finally {
      this.#inFlight.delete(running);
    }
  }

  async #call(
    ins: BigUint64Array,
    wanted: readonly number[],
    outs: BigUint64Array,
    signal: AbortSignal,
  ): Promise<void> {
    const { ort } = this.#context;
    const names = this.#namesOf(wanted);
    const options = ort.make('CreateRunOptions');
    const terminate = (): void => ort.call('RunOptionsSetTerminate', options);
    try {
      signal.addEventListener('abort', terminate, { once: true });
      await ort.callAsync(
        'Run',
        this.#session,
        options,
        this.#inputNames.pointers,
        ins,
        this.inputs.length,
        names.pointers,
        wanted.length,
        outs,
      );
    } catch (cause) {
      if (signal.aborted) throw new RuntimeError('cancelled', 'cancelled in mid-run', { cause });
      throw runError(cause);
    } finally {
      signal.removeEventListener('abort', terminate);
      ort.release('ReleaseRunOptions', options);
    }
  }

  #namesOf(wanted: readonly number[]): NativeNames {
    const key = wanted.join();
    const known = this.#outputNames.get(key);
    if (known !== undefined) return known;
    const names = nativeNames(wanted.map((index) => this.outputs[index]?.name ?? ''));
    if (this.#outputNames.size < OUTPUT_NAMES_MAX) this.#outputNames.set(key, names);
    return names;
  }
}

const OUTPUT_NAMES_MAX = 64;

function runError(cause: unknown): RuntimeError {
  if (cause instanceof RuntimeError) return cause;
  return new RuntimeError('run-failed', cause instanceof Error ? cause.message : String(cause), { cause });
}

export interface SessionIo {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

/** Names, datatypes and shapes of a session. Throws RuntimeError `load-failed` for what the protocol can't carry. */
export function readSessionIo(context: ValueContext, session: bigint): SessionIo {
  const read = (side: 'Input' | 'Output'): TensorSpec[] => {
    const count = context.ort.number(`SessionGet${side}Count`, session);
    return Array.from({ length: count }, (_, index) => readSpec(context, session, side, index));
  };
  return { inputs: read('Input'), outputs: read('Output') };
}

function readSpec(context: ValueContext, session: bigint, side: 'Input' | 'Output', index: number): TensorSpec {
  const { ort, allocator } = context;
  const nameAt = ort.make(`SessionGet${side}Name`, session, index, allocator);
  const name = textAt(nameAt);
  ort.call('AllocatorFree', allocator, nameAt);
  const type = ort.make(`SessionGet${side}TypeInfo`, session, index);
  try {
    if (ort.number('GetOnnxTypeFromTypeInfo', type) !== ONNX_TYPE_TENSOR) {
      throw new RuntimeError('load-failed', `${side.toLowerCase()} "${name}" is no tensor`);
    }
    const info = ort.make('CastTypeInfoToTensorInfo', type); // part of `type`: not released on its own
    const elementType = ort.number('GetTensorElementType', info);
    const datatype = datatypeOfOnnx(elementType);
    if (datatype === undefined) {
      throw new RuntimeError(
        'load-failed',
        `${side.toLowerCase()} "${name}" has the ONNX element type ${elementType}, which the protocol has not`,
      );
    }
    return { name, datatype, shape: dimensionsOf(ort, info).map((d) => (d < 0 ? -1 : d)) };
  } finally {
    ort.release('ReleaseTypeInfo', type);
  }
}

function nativeNames(names: readonly string[]): NativeNames {
  const held = names.map((name) => {
    const text = Buffer.from(`${name}\0`);
    const own = Buffer.allocUnsafeSlow(text.byteLength);
    own.set(text);
    return own;
  });
  const pointers = wordArray(names.length);
  held.forEach((buffer, i) => (pointers[i] = addressOf(buffer)));
  return { pointers, held };
}
