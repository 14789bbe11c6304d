// What is said of a pipeline when its package is read: what can't fit is refused by name.
import { describe, expect, it } from 'vitest';
import type { GraphSignature } from '@tidegate/shared/package/model-package.js';
import { prepare, signature, YAML } from '../../support/word-pipeline.js';

describe('preparePipeline', () => {
  const [first, graph, last] = YAML.pipeline;
  it.each([
    [
      'an unknown step',
      { pipeline: [{ ...first, step: 'guess' }, graph, last] },
      signature,
      'pipeline.0: step guess: there is no such step',
    ],
    [
      'a wrong parameter',
      { pipeline: [{ ...first, with: { factor: 'x' } }, graph, last] },
      signature,
      'pipeline.0: step measure: with.factor: must be a number',
    ],
    [
      'more outputs than a step makes',
      { pipeline: [{ ...first, outputs: ['size', 'b'] }, graph, last] },
      signature,
      'pipeline.0.outputs: step measure makes 1 values, but 2 are named',
    ],
    [
      'an input that the graph lacks',
      { pipeline: [first, { ...graph, inputs: { z: 'size' } }, last] },
      signature,
      "pipeline.1.inputs.z: graph net.onnx has no input 'z'; it has x",
    ],
    [
      'a datatype that the graph does not take',
      {},
      { ...signature, inputs: [{ name: 'x', datatype: 'INT64', shape: [-1, 1] }] },
      "pipeline.1.inputs.x: graph net.onnx takes INT64 [-1, 1] as 'x', but is fed FP32 [1, 1]",
    ],
    [
      'a shape that the graph does not take',
      {},
      { ...signature, inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 4] }] },
      'pipeline.1.inputs.x: ',
    ],
    [
      'an embedding that no node makes',
      { cache: { semantic: { embedding: 'feeling', threshold: 0.1 } } },
      signature,
      "cache.semantic.embedding: 'feeling' is no value of the pipeline, or a list",
    ],
    [
      'an embedding that is no vector',
      { cache: { semantic: { embedding: 'label', threshold: 0.1 } } },
      signature,
      "cache.semantic.embedding: 'label' must be FP32, but is BYTES",
    ],
    [
      'an embedding that an input has no part in',
      {
        inputs: [...YAML.inputs, { name: 'question', datatype: 'BYTES', shape: [-1] }],
        cache: { semantic: { embedding: 'score', threshold: 0.1 } },
      },
      signature,
      "cache.semantic.embedding: the input 'question' has no part in 'score'",
    ],
    [
      'an audit of what is no output',
      { cache: { semantic: { embedding: 'score', threshold: 0.1, compare: 'score' } } },
      signature,
      "cache.semantic.compare: the model has no output 'score'",
    ],
    [
      'an output that is another type',
      { outputs: [{ name: 'label', datatype: 'FP32', shape: [-1] }] },
      signature,
      "outputs.0: 'label' is declared as FP32 [-1], but the pipeline makes BYTES [-1]",
    ],
    [
      'a wrong variation',
      { heavy: { vary: { node: 'measure', parameter: 'factor', values: [1, 'x'] }, keep: 'sure' } },
      signature,
      'heavy.vary.values.1: step measure: with.factor',
    ],
  ] as [string, object, GraphSignature, string][])('refuses %s by name', async (_, change, graphSignature, message) => {
    await expect(prepare(change, graphSignature)).rejects.toMatchObject({
      name: 'PackageError',
      code: 'invalid-model',
      message: expect.stringContaining(`model.yaml: ${message}`) as string,
    });
  });

  it('tells the values between the nodes', async () => {
    const { inner } = await prepare();
    expect(inner.map((spec) => [spec.name, spec.datatype, spec.shape])).toEqual([
      ['size', 'FP32', [-1, 1]],
      ['score', 'FP32', [-1, 1]],
      ['more', 'FP32', [-1, -1]],
    ]);
  });
});
