// The JSON of Triton's statistics extension (extension_statistics.md). Reading inputs and writing outputs is not timed
// apart from a run, so `compute_input` and `compute_output` have counts without time.
import type { ModelStatistics, StatisticDuration } from '../inference-statistics.js';

export function statisticsJson(models: readonly ModelStatistics[]): object {
  return { model_stats: models.map(modelJson) };
}

function modelJson(model: ModelStatistics): object {
  const { name, version, computeInfer } = model;
  return {
    name,
    version,
    last_inference: Math.round(model.lastInferenceMs),
    inference_count: model.inferenceCount,
    execution_count: model.executionCount,
    inference_stats: {
      success: model.success,
      fail: model.fail,
      queue: model.queue,
      ...computeJson(computeInfer),
      cache_hit: model.cacheHit,
      cache_miss: model.cacheMiss,
    },
    response_stats: {},
    batch_stats: model.batches.map(({ rows, computeInfer: compute }) => ({
      batch_size: rows,
      ...computeJson(compute),
    })),
    memory_usage: [],
  };
}

function computeJson(compute: StatisticDuration): object {
  const untimed = { count: compute.count, ns: 0 };
  return { compute_input: untimed, compute_infer: compute, compute_output: untimed };
}
