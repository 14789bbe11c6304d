// The heavy pipeline: a step varied, and for each item the most confident answer kept.
import { describe, expect, it } from 'vitest';
import type { RunGraph } from '@tidegate/shared/serving/pipeline.js';
import { fp32, numbersOf, plusOne, prepare, textsOf, words, type Call } from '../../support/word-pipeline.js';

const signal = new AbortController().signal;

describe('runHeavy', () => {
  const heavy = { vary: { node: 'measure', parameter: 'factor', values: [1, 3, 2] }, keep: 'sure' };

  it('keeps for each item the most confident variation', async () => {
    const calls: Call[] = [];
    const pipeline = await prepare({ heavy });
    // Confidence falls where x is more than 8: the factor 3 is best for short words, 1 for long ones.
    const runGraph: RunGraph = async (graph, feeds, outputs) => {
      calls.push({ graph, feeds, outputs });
      return [
        fp32(
          'y',
          [1, 1],
          numbersOf(feeds[0]).map((x) => (x > 8 ? 0 : x)),
        ),
      ];
    };
    const answer = await pipeline.runHeavy(
      { inputs: [words('word', 'ab', 'eightttt')], outputs: ['label'] },
      runGraph,
      signal,
    );
    expect(answer.kept).toEqual([1, 0]);
    expect(textsOf(answer.outputs[0])).toEqual(['n6', 'n8']);
    expect(answer.outputs).toHaveLength(1);
    expect(answer.confidence).toBeCloseTo(0.6, 6);
    expect(calls).toHaveLength(6);
  });

  it('keeps the first of equals', async () => {
    const same: RunGraph = async () => [fp32('y', [1, 1], [5])];
    expect(
      (await (await prepare({ heavy })).runHeavy({ inputs: [words('word', 'a')], outputs: [] }, same, signal)).kept,
    ).toEqual([0]);
  });

  it('makes what does not hang on the variation once', async () => {
    const calls: Call[] = [];
    const pipeline = [
      { step: 'measure', id: 'before', inputs: ['word'], outputs: ['size'] },
      { graph: 'net.onnx', inputs: { x: 'size' }, outputs: { y: 'score' } },
      { step: 'name', inputs: ['score'], outputs: ['label', 'sure'] },
    ];
    const vary = { vary: { node: 'name', parameter: 'any', values: [1, 2, 3] }, keep: 'sure' };
    await (
      await prepare({ pipeline, heavy: vary })
    ).runHeavy({ inputs: [words('word', 'a')], outputs: [] }, plusOne(calls), signal);
    expect(calls).toHaveLength(1);
  });

  it('is the plain run where the varied step does not run, or nothing is varied', async () => {
    const calls: Call[] = [];
    const raw = { inputs: [fp32('size', [2, 1], [1, 2])], outputs: [] };
    await (await prepare({ heavy })).runHeavy(raw, plusOne(calls), signal);
    await (await prepare()).runHeavy({ inputs: [words('word', 'a')], outputs: [] }, plusOne(calls), signal);
    expect(calls).toHaveLength(2);
    expect((await prepare()).hasHeavy).toBe(false);
  });
});
