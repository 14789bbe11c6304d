import { describe, expect, test } from 'vitest';
import type { ModelDetails } from '@tidegate/shared/serving/inference-service.js';
import { modelConfig } from '@tidegate/shared/serving/model-config.js';

const details = (batchRowsMax: number, shape: readonly number[]): ModelDetails => ({
  metadata: {
    name: 'm',
    versions: ['3'],
    platform: 'onnxruntime_onnx',
    inputs: [{ name: 'x', datatype: 'FP32', shape }],
    outputs: [{ name: 'y', datatype: 'BYTES', shape }],
  },
  version: '3',
  batchRowsMax,
  cached: true,
  instances: [{ graph: 'm.onnx', count: 2, kind: 'cpu' }],
  labels: new Map(),
});

describe('the model configuration', () => {
  test('of a model whose requests share runs: the rows are the batch dimension', () => {
    expect(modelConfig(details(8, [-1, 4]))).toEqual({
      name: 'm',
      platform: 'onnxruntime_onnx',
      backend: 'onnxruntime',
      version_policy: { specific: { versions: [3] } },
      max_batch_size: 8,
      input: [{ name: 'x', data_type: 'TYPE_FP32', dims: [4] }],
      output: [{ name: 'y', data_type: 'TYPE_STRING', dims: [4] }],
      instance_group: [{ name: 'm.onnx', kind: 'KIND_CPU', count: 2 }],
      response_cache: { enable: true },
      dynamic_batching: { max_queue_delay_microseconds: 0 },
    });
  });

  test('of a model with state: what its sequences carry, and no batches', () => {
    const state = {
      initial: [{ name: 'h', datatype: 'FP32', shape: [2, 1, 128], data: new Uint8Array(1024) }],
      carried: new Map([['h_next', 'h']]),
    } as const;
    expect(modelConfig({ ...details(1, [-1, 4]), sequences: { idleTimeoutMs: 60_000, state: [state] } })).toMatchObject(
      {
        max_batch_size: 0,
        sequence_batching: {
          direct: {},
          max_sequence_idle_microseconds: 60_000_000,
          state: [{ input_name: 'h', output_name: 'h_next', data_type: 'TYPE_FP32', dims: [2, 1, 128] }],
        },
      },
    );
  });

  test.each([
    ['requests run alone', 1, [-1, 4]],
    ['the first dimension is fixed', 8, [1, 4]],
    ['it takes a scalar', 8, []],
  ])('whole shapes where %s', (_, rows, shape) => {
    const config = modelConfig(details(rows, shape));
    expect(config).toMatchObject({ max_batch_size: 0, input: [{ dims: shape }] });
    expect(config).not.toHaveProperty('dynamic_batching');
  });
});
