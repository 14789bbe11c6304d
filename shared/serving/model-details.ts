// What a model that is loaded is to its clients, as inference-service.ts tells it: name and tensors by its package, batches and
// instances by the graphs as they are loaded here.
import { hasState } from '../package/graph-state.js';
import type { ModelPackage } from '../package/model-package.js';
import type { GraphSlot } from './evaluate-request.js';
import type { ModelDetails } from './inference-service.js';
import type { Pipeline } from './pipeline.js';

interface Described {
  readonly pack: Pick<ModelPackage, 'yaml' | 'hasYaml'>;
  readonly slots: readonly GraphSlot[];
  readonly pipeline: Pick<Pipeline, 'inputs' | 'outputs' | 'inner'>;
  /** False where it may answer the same request differently: then nothing is cached. */
  readonly deterministic: boolean;
  readonly labels: ModelDetails['labels'];
}

/** Of the model as it is loaded here: batches are the least that any graph takes, instances what each runs at once. */
export function modelDetails(
  { name, version }: { readonly name: string; readonly version: string },
  { pack, slots, pipeline, deterministic, labels }: Described,
): ModelDetails {
  const { yaml, hasYaml } = pack;
  const { inputs, outputs, inner } = pipeline;
  const platform = hasYaml ? 'tidegate_package' : 'onnxruntime_onnx';
  const { idleTimeoutMs } = yaml.sequences;
  return {
    metadata: { name, versions: [version], platform, inputs, outputs, inner },
    version,
    batchRowsMax: slots.length === 0 ? 1 : Math.min(...slots.map(({ batchRowsMax }) => batchRowsMax)),
    cached: yaml.cache.enabled && deterministic,
    instances: slots.map(({ graph, runner }) => ({
      graph,
      count: runner.concurrency,
      kind: runner.provider.runs === 'cpu' ? 'cpu' : 'gpu',
    })),
    labels,
    ...(hasState(yaml) && { sequences: { idleTimeoutMs, state: slots.flatMap(({ state }) => state ?? []) } }),
  };
}
