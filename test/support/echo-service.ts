// An InferenceService that answers inputs as outputs, for the tests of protocol fronts. Model `echo-<datatype>` (lower
// case) has the input INPUT0 [-1] and the output OUTPUT0; `echo-two` has two inputs of different types; `empty` answers
// without elements; `counter` says that it has state; `slow` waits for its signal; `broken` throws what is no ServingError.
import { DATATYPES } from '@tidegate/shared/tensor/datatype.js';
import type { NamedTensor, TensorSpec } from '@tidegate/shared/tensor/tensor.js';
import type {
  InferAnswer,
  InferenceService,
  InferRequest,
  ModelDetails,
  ModelMetadata,
  RequestHead,
} from '@tidegate/shared/serving/inference-service.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';

const PROVENANCE = {
  placement: 'edge',
  reason: 'echoed — on the device',
  modelDigest: `sha256:${'a'.repeat(64)}`,
  variant: 'fp32',
  variantDigest: `sha256:${'b'.repeat(64)}`,
  queueUs: 12,
  computeUs: 34.4,
  confidence: 0.5,
} as const;

const COUNTER_SEQUENCES = {
  idleTimeoutMs: 60_000,
  state: [
    {
      initial: [{ name: 'total', datatype: 'INT64', shape: [1, 3], data: new Uint8Array(24) }],
      carried: new Map([['total_next', 'total']]),
    },
  ],
} as const;

export class EchoService implements InferenceService {
  /** Every request that came through the front, for assertions. */
  readonly requests: InferRequest[] = [];
  readonly signals: AbortSignal[] = [];
  isReady = true;
  /** Thrown by the next infer. */
  nextError: Error | undefined;
  /** What the next requests are refused with before they are read; each head that was looked at is in `requests`. */
  refusedUnread: ServingError | undefined;
  #waiting: (() => void)[] = [];
  readonly #models = new Map<string, ModelMetadata>();

  constructor() {
    for (const datatype of DATATYPES) {
      const input = { name: 'INPUT0', datatype, shape: [-1] };
      this.#add(`echo-${datatype.toLowerCase()}`, [input], [{ ...input, name: 'OUTPUT0' }]);
    }
    const two: TensorSpec[] = [
      { name: 'TEXT', datatype: 'BYTES', shape: [-1, 2] },
      { name: 'NUMBERS', datatype: 'INT64', shape: [-1] },
    ];
    this.#add('echo-two', two, two, [{ name: 'INNER', datatype: 'FP32', shape: [-1] }]);
    this.#add(
      'matrix',
      [{ name: 'X', datatype: 'FP32', shape: [-1, 4] }],
      [{ name: 'X', datatype: 'FP32', shape: [-1, 4] }],
    );
    for (const name of ['empty', 'counter', 'slow', 'broken']) {
      this.#add(name, [{ name: 'X', datatype: 'FP32', shape: [-1] }], [{ name: 'Y', datatype: 'FP32', shape: [-1] }]);
    }
  }

  #add(name: string, inputs: TensorSpec[], outputs: TensorSpec[], inner?: TensorSpec[]): void {
    const metadata = { name, versions: ['1', '2'], platform: 'tidegate_echo', inputs, outputs };
    this.#models.set(name, inner === undefined ? metadata : { ...metadata, inner });
  }

  ready(): boolean {
    return this.isReady;
  }

  metadata(model: string, version: string | undefined): ModelMetadata {
    const found = this.#models.get(model);
    if (found === undefined)
      throw new ServingError('not-found', `no model ${JSON.stringify(model)}`, { field: 'model' });
    if (version !== undefined && !found.versions.includes(version)) {
      throw new ServingError('not-found', `model ${JSON.stringify(model)} has no version ${version}`, {
        field: 'version',
      });
    }
    return found;
  }

  modelReady(model: string, version: string | undefined): boolean {
    this.metadata(model, version);
    return this.isReady;
  }

  models(): { name: string; version: string; ready: boolean }[] {
    return [...this.#models.keys()].map((name) => ({ name, version: '1', ready: this.isReady }));
  }

  /** Rows of `matrix` share runs, and its columns have names. */
  details(model: string, version: string | undefined): ModelDetails {
    const metadata = this.metadata(model, version);
    const instances = [{ graph: 'echo.onnx', count: 2, kind: 'cpu' as const }];
    const labels = new Map([['X', ['north', 'east', 'south', 'west']]]);
    return {
      metadata,
      version: version ?? '1',
      batchRowsMax: model === 'matrix' ? 4 : 1,
      cached: true,
      instances,
      labels,
      ...(model === 'counter' ? { sequences: COUNTER_SEQUENCES } : {}),
    };
  }

  /** What was asked of the repository, in order. */
  readonly changes: string[] = [];

  load(model: string): Promise<void> {
    this.changes.push(`load ${model}`);
    if (model === 'not-yours') return Promise.reject(new ServingError('forbidden', 'the hub decides'));
    return Promise.resolve();
  }

  unload(model: string): Promise<void> {
    this.changes.push(`unload ${model}`);
    return Promise.resolve();
  }

  /** Resolves when a request waits in the model `slow`. */
  waiting(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  refuseUnread(
    _model: string,
    _version: unknown,
    _deadlineMs: number,
    head: () => RequestHead,
  ): ServingError | undefined {
    if (this.refusedUnread !== undefined) this.requests.push(head());
    return this.refusedUnread;
  }

  async infer(request: InferRequest, signal: AbortSignal): Promise<InferAnswer> {
    const metadata = this.metadata(request.model, request.version);
    this.requests.push(request);
    this.signals.push(signal);
    const error = this.nextError;
    this.nextError = undefined;
    if (error !== undefined) throw error;
    if (request.model === 'broken') throw new TypeError('a bug');
    if (request.model === 'slow') await this.#wait(signal);
    const outputs = metadata.outputs.map((spec, i): NamedTensor => {
      if (request.model === 'empty') return { ...spec, shape: [0], data: new Uint8Array() };
      return { ...(request.inputs[i] as NamedTensor), name: spec.name };
    });
    return { model: request.model, version: request.version ?? '1', outputs, provenance: PROVENANCE };
  }

  /** Scopes whose sequences were ended. */
  readonly endedScopes: string[] = [];

  endSequences(scope: string): void {
    this.endedScopes.push(scope);
  }

  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      this.#release = resolve;
      for (const waiting of this.#waiting.splice(0)) waiting();
    });
  }

  #release: () => void = () => undefined;

  /** Lets the waiting request of `slow` go on. */
  release(): void {
    this.#release();
  }
}
