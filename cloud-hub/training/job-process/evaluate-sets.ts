// Parent and result on what neither was trained on: the plain graphs, run by the engine on the same batches. Accuracy is the share of
// samples whose largest score (the first of equal ones) is their class's; mean squared error is over all numbers of all samples.
import type { EngineSession } from '@tidegate/shared/runtime/engine.js';
import { float32Of, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { batchesInTurn } from '@tidegate/shared/training/batch-order.js';
import type { TrainingParameters } from '@tidegate/shared/wire/training-api.js';
import type { Batch } from '../../data/dataset-reader.js';
import type { JobResult } from './job-order.js';
import type { MeasuredSet } from './open-training.js';
import { OrderError } from './order-error.js';

type SetEvaluation = JobResult['sets'][number];

interface EvaluateOptions {
  readonly loss: TrainingParameters['loss'];
  /** The graphs' output that is measured. */
  readonly output: string;
  readonly batchSize: number;
}

interface Graphs {
  readonly parent: EngineSession;
  readonly result: EngineSession;
}

/** Rejects with OrderError `no-number`, RuntimeError, DataError, what `onBatch` throws, or the signal's reason. */
export async function evaluateSets(
  sets: readonly MeasuredSet[],
  graphs: Graphs,
  options: EvaluateOptions,
  onBatch: () => void,
  signal: AbortSignal,
): Promise<SetEvaluation[]> {
  const evaluations: SetEvaluation[] = [];
  for (const { dataset, role, reader } of sets) {
    const count = reader.counts['held-out'];
    const scores = { parent: new Score(options.loss), result: new Score(options.loss) };
    const order = batchesInTurn({ count, batchSize: options.batchSize });
    for await (const batch of reader.batches('held-out', order, signal)) {
      for (const one of ['parent', 'result'] as const) {
        scores[one].add(await answer(graphs[one], batch, options.output, signal), batch);
      }
      onBatch();
    }
    const metric = options.loss === 'mse' ? 'mean-squared-error' : 'accuracy';
    const means = { parent: scores.parent.mean(), result: scores.result.mean() };
    for (const one of ['parent', 'result'] as const) {
      if (!Number.isFinite(means[one])) throw noNumber(dataset, one);
    }
    evaluations.push({ dataset, role, metric, count, ...means });
  }
  return evaluations;
}

/** JSON knows no such figure, and nothing could be held against it. */
function noNumber(dataset: string, one: keyof Graphs): OrderError {
  const who = one === 'parent' ? "the parent's graph" : 'the trained graph';
  return new OrderError('no-number', `${who} answers samples of ${dataset} with what is no finite number`, {
    field: one === 'parent' ? 'parent' : 'parameters/learningRate',
  });
}

async function answer(graph: EngineSession, batch: Batch, output: string, signal: AbortSignal): Promise<NamedTensor> {
  const feeds = batch.feeds.filter(({ name }) => graph.inputs.some((input) => input.name === name));
  const [value] = await graph.run(feeds, [output], signal);
  if (value === undefined) throw new Error(`the graph answered no ${output}`);
  return value;
}

class Score {
  readonly #loss: EvaluateOptions['loss'];
  #sum = 0;
  #count = 0;

  constructor(loss: EvaluateOptions['loss']) {
    this.#loss = loss;
  }

  add(value: NamedTensor, batch: Batch): void {
    const values = float32Of(value);
    if (this.#loss === 'mse') {
      const targets = float32Of(batch.labels);
      values.forEach((answered, i) => (this.#sum += (answered - (targets[i] ?? Number.NaN)) ** 2));
      this.#count += values.length;
      return;
    }
    const width = values.length / batch.count;
    const classes = new BigInt64Array(new Uint8Array(batch.labels.data).buffer);
    for (let row = 0; row < batch.count; row += 1) {
      const best = largest(values.subarray(row * width, (row + 1) * width));
      if (best === Number(classes[row])) this.#sum += 1;
    }
    this.#count += batch.count;
  }

  mean(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count;
  }
}

function largest(scores: Float32Array): number {
  let best = 0;
  for (let i = 1; i < scores.length; i += 1) if ((scores[i] ?? 0) > (scores[best] ?? 0)) best = i;
  return best;
}
