import { expect, test } from 'vitest';
import { statisticsJson } from '@tidegate/shared/serving/http/statistics-json.js';
import { InferenceStatistics } from '@tidegate/shared/serving/inference-statistics.js';

test('the statistics extension: every field that clients read, zeros included', () => {
  const statistics = new InferenceStatistics();
  statistics.ran('m', '1', 2, 3);
  const none = { count: 0, ns: 0 };
  expect(statisticsJson([statistics.of('m', '1')])).toEqual({
    model_stats: [
      {
        name: 'm',
        version: '1',
        last_inference: 0,
        inference_count: 0,
        execution_count: 1,
        inference_stats: {
          success: none,
          fail: none,
          queue: none,
          compute_input: none,
          compute_infer: none,
          compute_output: none,
          cache_hit: none,
          cache_miss: none,
        },
        response_stats: {},
        batch_stats: [
          {
            batch_size: 2,
            compute_input: { count: 1, ns: 0 },
            compute_infer: { count: 1, ns: 3000 },
            compute_output: { count: 1, ns: 0 },
          },
        ],
        memory_usage: [],
      },
    ],
  });
});
