// The second engine: onnxruntime-node as it is published, for platforms where the first can't load. A run blocks the thread and
// can't be ended, and one session takes one run at a time, so runs queue here. What the binding can't carry exactly (BF16, and
// BYTES that are no text) is refused by name, never bent.
import { InferenceSession, listSupportedBackends, Tensor as OrtTensor } from 'onnxruntime-node';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { climb } from '../ladder.js';
import { libraryFolder } from '../library-folder.js';
import { orderedFeeds, wantedOutputs } from '../feed-check.js';
import {
  COMPILED_GRAPH,
  SAVE_CONFIG,
  type CopyOutput,
  type Engine,
  type EngineSession,
  type LoadOptions,
  type Provider,
  type ProviderReport,
} from '../../engine.js';
import { RuntimeError } from '../../runtime-error.js';
import { decodeBytes, encodeBytes } from '../../../tensor/bytes.js';
import type { Datatype } from '../../../tensor/datatype.js';
import { bytesOf, type NamedTensor, type TensorSpec } from '../../../tensor/tensor.js';

type OrtType = OrtTensor.Type;
type View = new (buffer: ArrayBufferLike, offset: number, length: number) => ArrayBufferView;

/** The binding's name and view of each datatype; BF16 is missing because the binding has none. */
const TYPES: Readonly<
  Partial<Record<Datatype, { readonly type: OrtType; readonly view?: View; readonly size: number }>>
> = {
  BOOL: { type: 'bool', view: Uint8Array, size: 1 },
  UINT8: { type: 'uint8', view: Uint8Array, size: 1 },
  INT8: { type: 'int8', view: Int8Array, size: 1 },
  UINT16: { type: 'uint16', view: Uint16Array, size: 2 },
  INT16: { type: 'int16', view: Int16Array, size: 2 },
  UINT32: { type: 'uint32', view: Uint32Array, size: 4 },
  INT32: { type: 'int32', view: Int32Array, size: 4 },
  UINT64: { type: 'uint64', view: BigUint64Array, size: 8 },
  INT64: { type: 'int64', view: BigInt64Array, size: 8 },
  FP16: { type: 'float16', view: halfView(), size: 2 },
  FP32: { type: 'float32', view: Float32Array, size: 4 },
  FP64: { type: 'float64', view: Float64Array, size: 8 },
  BYTES: { type: 'string', size: 0 },
};
const BY_ORT_TYPE = new Map(Object.entries(TYPES).map(([datatype, { type }]) => [type, datatype as Datatype]));

export function createBindingEngine(): Engine {
  return new BindingEngine();
}

class BindingEngine implements Engine {
  readonly name = 'ort-binding';
  readonly capabilities = { concurrentRuns: false, cancellable: false, persistentTensors: false };
  readonly version = (createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string }).version;
  readonly #sessions = new Set<EngineSession>();

  async load(options: LoadOptions, signal: AbortSignal): Promise<EngineSession> {
    if (signal.aborted) throw new RuntimeError('cancelled', 'loading was cancelled');
    const built = new Set(listSupportedBackends().map(({ name }) => name as Provider));
    const { result, report } = await climb(options.providers, { built, folder: libraryFolder() }, (provider) =>
      InferenceSession.create(options.path, {
        executionProviders: provider === 'cpu' ? ['cpu'] : [provider, 'cpu'],
        intraOpNumThreads: options.intraOpThreads,
        logSeverityLevel: 4,
        ...(options.compiled === true ? { graphOptimizationLevel: 'disabled' } : {}),
        ...(options.saveTo === undefined ? {} : { optimizedModelFilePath: join(options.saveTo, COMPILED_GRAPH) }),
        extra: {
          'session.intra_op.allow_spinning': '0',
          ...(options.saveTo === undefined ? {} : SAVE_CONFIG),
        },
      }),
    );
    const session = new BindingSession(result, report);
    this.#sessions.add(session);
    return session;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#sessions].map((session) => session.close()));
    this.#sessions.clear();
  }
}

class BindingSession implements EngineSession {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly provider: ProviderReport;
  readonly #session: InferenceSession;
  #tail: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(session: InferenceSession, provider: ProviderReport) {
    this.#session = session;
    this.provider = provider;
    this.inputs = session.inputMetadata.map((metadata) => specOf('input', metadata));
    this.outputs = session.outputMetadata.map((metadata) => specOf('output', metadata));
  }

  async run(
    feeds: readonly NamedTensor[],
    outputs: readonly string[],
    signal: AbortSignal,
    copy?: CopyOutput,
  ): Promise<NamedTensor[]> {
    if (this.#closed) throw new RuntimeError('closed', 'the session is closed');
    const ordered = orderedFeeds(this.inputs, feeds);
    const wanted = wantedOutputs(this.outputs, outputs).map((index) => this.outputs[index]?.name ?? '');
    if (signal.aborted) throw new RuntimeError('cancelled', 'cancelled before it began');
    const running = this.#tail.then(() => this.#run(ordered, wanted, signal, copy));
    this.#tail = running.catch(() => undefined); // the caller hears of it; the queue goes on
    return running;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#tail;
    await this.#session.release();
  }

  async #run(
    feeds: readonly NamedTensor[],
    wanted: readonly string[],
    signal: AbortSignal,
    copy: CopyOutput | undefined,
  ): Promise<NamedTensor[]> {
    if (signal.aborted) throw new RuntimeError('cancelled', 'cancelled before it began');
    const tensors = Object.fromEntries(feeds.map((feed) => [feed.name, toOrt(feed)]));
    let results: InferenceSession.OnnxValueMapType;
    try {
      results = await this.#session.run(tensors, [...wanted]);
    } catch (cause) {
      throw new RuntimeError('run-failed', cause instanceof Error ? cause.message : String(cause), { cause });
    }
    return wanted.map((name) => fromOrt(name, results[name] as OrtTensor, copy));
  }
}

function specOf(side: 'input' | 'output', metadata: InferenceSession.ValueMetadata): TensorSpec {
  if (!metadata.isTensor) throw new RuntimeError('load-failed', `${side} "${metadata.name}" is no tensor`);
  const datatype = BY_ORT_TYPE.get(metadata.type);
  if (datatype === undefined) {
    throw new RuntimeError('load-failed', `${side} "${metadata.name}" is ${metadata.type}, which the protocol has not`);
  }
  const shape = metadata.shape.map((dimension) => (typeof dimension === 'number' && dimension >= 0 ? dimension : -1));
  return { name: metadata.name, datatype, shape };
}

function toOrt({ name, datatype, shape, data }: NamedTensor): OrtTensor {
  const entry = TYPES[datatype];
  if (entry === undefined)
    throw new RuntimeError('invalid-input', `input "${name}": the ort-binding engine has no ${datatype}`);
  if (entry.view === undefined) return new OrtTensor('string', textsOf(name, data), [...shape]);
  const aligned = data.byteOffset % entry.size === 0 ? data : new Uint8Array(data);
  const view = new entry.view(aligned.buffer, aligned.byteOffset, aligned.byteLength / entry.size);
  return new OrtTensor(entry.type, view as OrtTensor.DataType, [...shape]);
}

function textsOf(name: string, data: Uint8Array): string[] {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  return (decodeBytes(data) ?? []).map((element) => {
    if (element.includes(0)) {
      throw new RuntimeError('invalid-input', `input "${name}": the ort-binding engine takes no text with a NUL`);
    }
    try {
      return decoder.decode(element);
    } catch (cause) {
      const message = `input "${name}": the ort-binding engine takes BYTES only as UTF-8 text`;
      throw new RuntimeError('invalid-input', message, { cause });
    }
  });
}

function fromOrt(name: string, value: OrtTensor, copy: CopyOutput | undefined): NamedTensor {
  const datatype = BY_ORT_TYPE.get(value.type);
  if (datatype === undefined) throw new RuntimeError('run-failed', `output "${name}" is ${value.type}`);
  if (value.type === 'string') {
    const elements = (value.data as string[]).map((text) => Buffer.from(text));
    return { name, datatype, shape: value.dims, data: encodeBytes(elements) };
  }
  const data = bytesOf(value.data as unknown as ArrayBufferView);
  return { name, datatype, shape: value.dims, data: copy === undefined ? data : copy(data) };
}

/** What this version of Node has for float16: the class that onnxruntime-common chose. */
function halfView(): View {
  return ((globalThis as { Float16Array?: View }).Float16Array ?? Uint16Array) as View;
}
