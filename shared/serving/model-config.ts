// A model's configuration as Triton's model configuration extension gives it (extension_model_configuration.md;
// model_config.proto, `ModelConfig`), derived from what is served. Field names are the proto's, so that the JSON of HTTP and
// the message of gRPC are the same object. Fields that say nothing here are left out.
import type { Datatype } from '../tensor/datatype.js';
import type { TensorSpec } from '../tensor/tensor.js';
import type { ModelDetails } from './inference-service.js';

interface ConfigTensor {
  readonly name: string;
  readonly data_type: string;
  /** Without the batch dimension where `max_batch_size` > 0. */
  readonly dims: readonly number[];
}

export interface ModelConfig {
  readonly name: string;
  readonly platform: string;
  readonly backend: string;
  readonly version_policy: { readonly specific: { readonly versions: readonly number[] } };
  /** 0 = the shapes are whole, there is no batch dimension. */
  readonly max_batch_size: number;
  readonly input: readonly ConfigTensor[];
  readonly output: readonly ConfigTensor[];
  readonly instance_group: readonly { readonly name: string; readonly kind: string; readonly count: number }[];
  readonly response_cache: { readonly enable: boolean };
  /** Requests are batched as they come; none waits for others (design 3). */
  readonly dynamic_batching?: { readonly max_queue_delay_microseconds: number };
  /** Of a model with state: its sequences never share a run, and no control tensors are needed. */
  readonly sequence_batching?: {
    readonly direct: object;
    readonly max_sequence_idle_microseconds: number;
    readonly state: readonly ConfigState[];
  };
}

interface ConfigState {
  readonly input_name: string;
  readonly output_name: string;
  readonly data_type: string;
  readonly dims: readonly number[];
}

const TYPE_OF: Readonly<Record<Datatype, string>> = {
  BOOL: 'TYPE_BOOL',
  UINT8: 'TYPE_UINT8',
  UINT16: 'TYPE_UINT16',
  UINT32: 'TYPE_UINT32',
  UINT64: 'TYPE_UINT64',
  INT8: 'TYPE_INT8',
  INT16: 'TYPE_INT16',
  INT32: 'TYPE_INT32',
  INT64: 'TYPE_INT64',
  FP16: 'TYPE_FP16',
  FP32: 'TYPE_FP32',
  FP64: 'TYPE_FP64',
  BYTES: 'TYPE_STRING',
  BF16: 'TYPE_BF16',
};

export function modelConfig(details: ModelDetails): ModelConfig {
  const { metadata, instances, cached, sequences } = details;
  const maxBatchSize = maxBatchSizeOf(details);
  const tensor = ({ name, datatype, shape }: TensorSpec): ConfigTensor => ({
    name,
    data_type: TYPE_OF[datatype],
    dims: maxBatchSize > 0 ? shape.slice(1) : shape,
  });
  return {
    name: metadata.name,
    platform: metadata.platform,
    backend: 'onnxruntime',
    version_policy: { specific: { versions: [Number(details.version)] } },
    max_batch_size: maxBatchSize,
    input: metadata.inputs.map(tensor),
    output: metadata.outputs.map(tensor),
    instance_group: instances.map(({ graph, count, kind }) => ({
      name: graph,
      kind: kind === 'gpu' ? 'KIND_GPU' : 'KIND_CPU',
      count,
    })),
    response_cache: { enable: cached },
    ...(sequences === undefined ? {} : { sequence_batching: sequenceBatching(sequences) }),
    ...(maxBatchSize > 1 ? { dynamic_batching: { max_queue_delay_microseconds: 0 } } : {}),
  };
}

function sequenceBatching({ idleTimeoutMs, state }: NonNullable<ModelDetails['sequences']>) {
  const tensors = state.flatMap(({ initial, carried }) =>
    [...carried].map(([output, input], at): ConfigState => {
      const { datatype = 'FP32', shape = [] } = initial[at] ?? {};
      return { input_name: input, output_name: output, data_type: TYPE_OF[datatype], dims: shape };
    }),
  );
  return { direct: {}, max_sequence_idle_microseconds: idleTimeoutMs * 1000, state: tensors };
}

/** Rows where requests share runs and every public tensor begins with its row; otherwise 0, as Triton has it. */
export function maxBatchSizeOf({ metadata, batchRowsMax }: Pick<ModelDetails, 'metadata' | 'batchRowsMax'>): number {
  if (batchRowsMax < 2) return 0;
  const rowsFirst = [...metadata.inputs, ...metadata.outputs].every(({ shape }) => (shape[0] ?? 0) < 0);
  return rowsFirst ? batchRowsMax : 0;
}
