import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { LIMIT_ITEMS } from '@tidegate/shared/serving/pipeline-items.js';
import { ITEMS_AT_ONCE, preparePipeline, type RunGraph } from '@tidegate/shared/serving/pipeline.js';
import type { CatalogueStep } from '@tidegate/shared/steps/step-catalogue.js';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { tensor } from '@tidegate/shared/tensor/tensor.js';
import { modelYamlSchema } from '@tidegate/shared/wire/model-yaml.js';
import {
  catalogue,
  fp32,
  measure,
  noAssets,
  numbersOf,
  plusOne,
  prepare,
  signature,
  textsOf,
  words,
  YAML,
  type Call,
} from '../../support/word-pipeline.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;
const signal = new AbortController().signal;

describe('a pipeline', () => {
  it('goes from the public inputs to the public outputs', async () => {
    const calls: Call[] = [];
    const answer = await (
      await prepare()
    ).run({ inputs: [words('word', 'four')], outputs: [] }, plusOne(calls), signal);
    expect(answer.outputs.map((output) => [output.name, output.shape])).toEqual([
      ['label', [1]],
      ['sure', [1]],
    ]);
    expect(textsOf(answer.outputs[0])).toEqual(['n5']);
    expect(answer.confidence).toBeCloseTo(0.5, 6);
    expect(calls).toMatchObject([{ graph: 'net.onnx', feeds: [{ name: 'x', shape: [1, 1] }], outputs: ['y'] }]);
  });

  it('runs items one by one and joins their answers in order', async () => {
    const calls: Call[] = [];
    const inputs = [words('word', 'a', 'bbbb', 'cc')];
    const answer = await (await prepare()).run({ inputs, outputs: ['label', 'size'] }, plusOne(calls), signal);
    expect(textsOf(answer.outputs[0])).toEqual(['n2', 'n5', 'n3']);
    expect(answer.outputs[1]).toMatchObject({ name: 'size', shape: [3, 1] });
    expect(numbersOf(answer.outputs[1])).toEqual([1, 4, 2]);
    expect(answer.confidence).toBeCloseTo(0.2, 6); // the smallest
    expect(calls).toHaveLength(3);
  });

  it('runs at most so many items at once', async () => {
    let [running, most] = [0, 0];
    const runGraph: RunGraph = async (...call) => {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      return plusOne()(...call);
    };
    const inputs = [words('word', ...Array.from({ length: 30 }, (_, at) => 'x'.repeat(at)))];
    const answer = await (await prepare()).run({ inputs, outputs: [] }, runGraph, signal);
    expect(textsOf(answer.outputs[0])).toEqual(Array.from({ length: 30 }, (_, at) => `n${at + 1}`));
    expect(most).toBe(ITEMS_AT_ONCE);
  });

  describe('entered or left in the middle', () => {
    it("skips the steps before a graph's own input, takes its batch whole, and answers the graph's own outputs", async () => {
      const calls: Call[] = [];
      const answer = await (
        await prepare()
      ).run({ inputs: [fp32('size', [3, 1], [1, 2, 3])], outputs: [] }, plusOne(calls), signal);
      expect(answer.outputs.map(({ name: output }) => output)).toEqual(['score', 'more']);
      expect(numbersOf(answer.outputs[0])).toEqual([2, 3, 4]);
      expect(calls).toHaveLength(1);
      expect(answer.confidence).toBeCloseTo(0.2, 6); // costs a step, no graph
    });

    it('still makes the public outputs from there when they are asked for', async () => {
      const request = { inputs: [fp32('size', [2, 1], [1, 2])], outputs: ['label'] };
      expect(textsOf((await (await prepare()).run(request, plusOne(), signal)).outputs[0])).toEqual(['n2', 'n3']);
    });

    it('runs no graph for an output before it, and has no confidence then', async () => {
      const calls: Call[] = [];
      const answer = await (
        await prepare()
      ).run({ inputs: [words('word', 'abc')], outputs: ['size'] }, plusOne(calls), signal);
      expect(numbersOf(answer.outputs[0])).toEqual([3]);
      expect(answer.confidence).toBeUndefined();
      expect(calls).toEqual([]);
    });

    it('hands a given value back when it is asked for', async () => {
      const request = { inputs: [fp32('score', [2, 1], [7, 8])], outputs: ['score', 'label'] };
      const answer = await (await prepare()).run(request, plusOne(), signal);
      expect(numbersOf(answer.outputs[0])).toEqual([7, 8]);
      expect(textsOf(answer.outputs[1])).toEqual(['n7', 'n8']);
    });
  });

  it.each([
    ['no input', [], [], 'word', "input 'word' is missing"],
    ['an unknown input', [words('picture', 'a')], [], 'picture', "has no input 'picture'; it takes word"],
    ['an input given twice', [words('word', 'a'), words('word', 'a')], [], 'word', 'given twice'],
    ['an unknown output', [words('word', 'a')], ['colour'], 'colour', "has no output 'colour'; it makes label, sure"],
    ['an output asked for twice', [words('word', 'a')], ['label', 'label'], 'label', 'asked for twice'],
    ['a wrong datatype', [fp32('word', [1], [1])], [], 'word', "input 'word' must be BYTES [-1], but is FP32 [1]"],
    [
      'a wrong rank',
      [tensor('word', 'BYTES', [1, 1], encodeBytes([new Uint8Array()]))],
      [],
      'word',
      'but is BYTES [1, 1]',
    ],
    [
      "a shape that is not the graph's",
      [fp32('size', [1, 2], [1, 2])],
      [],
      'size',
      'must be FP32 [-1, 1], but is FP32 [1, 2]',
    ],
    ['no items', [words('word')], [], 'word', 'has no items'],
    [
      'an input without influence',
      [words('word', 'a'), fp32('score', [1, 1], [1])],
      ['size'],
      'score',
      'no influence on size',
    ],
    [
      'fewer elements than its shape says',
      [{ ...words('word', 'a', 'b'), shape: [3] }],
      [],
      'word',
      'not as many elements',
    ],
  ])('refuses %s, names it, and answers a good request after it', async (_, inputs, outputs, field, message) => {
    const pipeline = await prepare();
    await expect(pipeline.run({ inputs, outputs }, plusOne(), signal)).rejects.toMatchObject({
      name: 'ServingError',
      code: 'invalid-argument',
      field,
      message: expect.stringContaining(message) as string,
    });
    await expect(pipeline.run({ inputs: [words('word', 'a')], outputs: [] }, plusOne(), signal)).resolves.toBeDefined();
  });

  it('refuses more items than it holds', async () => {
    const inputs = [words('word', ...Array.from({ length: LIMIT_ITEMS + 1 }, () => 'a'))];
    await expect((await prepare()).run({ inputs, outputs: [] }, plusOne(), signal)).rejects.toMatchObject({
      code: 'too-large',
      field: 'word',
    });
  });

  it('refuses to gather more bytes than an answer may have', async () => {
    const mebibyte = tensor('extra', 'FP32', [1, 262_144], new Uint8Array(1_048_576));
    const runGraph: RunGraph = async () => [fp32('y', [1, 1], [1]), mebibyte];
    const inputs = [words('word', ...Array.from({ length: 300 }, () => 'a'))];
    const run = (await prepare()).run({ inputs, outputs: ['more'] }, runGraph, signal);
    await expect(run).rejects.toMatchObject({ code: 'too-large', field: 'more' });
  });

  it('lets a value go when its last taker has run, before the graph answers', async () => {
    const held: WeakRef<Uint8Array>[] = [];
    const bitmap: CatalogueStep = {
      ...measure,
      name: 'bitmap',
      prepare: () =>
        Promise.resolve({
          inferTypes: () => [{ datatype: 'UINT8', shape: [1, 100_000] }],
          run: async () => {
            const data = new Uint8Array(100_000);
            held.push(new WeakRef(data));
            return [{ datatype: 'UINT8', shape: [1, 100_000], data }];
          },
        }),
    };
    const shrink: CatalogueStep = {
      ...measure,
      name: 'shrink',
      takesItems: false,
      prepare: () =>
        Promise.resolve({
          inferTypes: () => [{ datatype: 'FP32', shape: [1, 1] }],
          run: async () => [fp32('', [1, 1], [1])],
        }),
    };
    const [, graph, last] = YAML.pipeline;
    const pipeline = [
      { step: 'bitmap', inputs: ['word'], outputs: ['pixels'] },
      { step: 'shrink', inputs: ['pixels'], outputs: ['size'] },
      graph,
      last,
    ];
    const yaml = modelYamlSchema.parse({ ...YAML, pipeline });
    const steps = new Map([...catalogue, ['bitmap', bitmap], ['shrink', shrink]]);
    const prepared = await preparePipeline(yaml, noAssets, new Map([['net.onnx', signature]]), steps);
    const alive: number[] = [];
    const runGraph: RunGraph = async (...call) => {
      await new Promise((resolve) => setTimeout(resolve)); // a WeakRef's target lives to the end of its turn
      collectGarbage();
      alive.push(held.filter((one) => one.deref() !== undefined).length);
      return plusOne()(...call);
    };
    await prepared.run({ inputs: [words('word', 'a')], outputs: ['label'] }, runGraph, signal);
    await prepared.run({ inputs: [words('word', 'a')], outputs: ['label', 'pixels'] }, runGraph, signal);
    expect(alive).toEqual([0, 1]);
  });

  it('says which item is bad, and stops the others', async () => {
    const aborted: AbortSignal[] = [];
    const runGraph: RunGraph = (_graph, _feeds, _outputs, inner) => {
      aborted.push(inner);
      return new Promise((_resolve, reject) => inner.addEventListener('abort', () => reject(inner.reason as Error)));
    };
    const run = (await prepare()).run(
      { inputs: [words('word', 'good', 'fine', 'bad')], outputs: [] },
      runGraph,
      signal,
    );
    await expect(run).rejects.toMatchObject({
      code: 'invalid-argument',
      field: 'word',
      message: "item 2: input 'word': step measure: is given no word",
    });
    expect(aborted.map((inner) => inner.aborted)).toEqual([true, true]);
  });

  it('says no item where there is only one', async () => {
    const run = (await prepare()).run({ inputs: [words('word', 'bad')], outputs: [] }, plusOne(), signal);
    await expect(run).rejects.toThrow(/^input 'word': step measure: is given no word$/);
  });

  it("blames the caller for a step before the graph only: behind it, it is the model's fault", async () => {
    const pipeline = await prepare();
    const huge: RunGraph = async () => [fp32('y', [1, 1], [5000])];
    await expect(pipeline.run({ inputs: [words('word', 'a')], outputs: [] }, huge, signal)).rejects.toMatchObject({
      code: 'failed',
    });
    const given = pipeline.run({ inputs: [fp32('score', [1, 1], [5000])], outputs: ['label'] }, plusOne(), signal);
    await expect(given).rejects.toMatchObject({ code: 'invalid-argument', field: 'score' });
  });

  it('refuses to join outputs of different shapes', async () => {
    const request = { inputs: [words('word', 'aa', 'bbb')], outputs: ['more'] };
    const run = (await prepare()).run(request, plusOne(), signal);
    await expect(run).rejects.toMatchObject({
      code: 'invalid-argument',
      field: 'more',
      message: expect.stringContaining('[1, 2] for item 0 and [1, 3] for item 1') as string,
    });
    await expect(
      (await prepare()).run({ ...request, inputs: [words('word', 'aa')] }, plusOne(), signal),
    ).resolves.toBeDefined();
  });

  it('passes on what the graph rejects with', async () => {
    const error = new Error('executor gone');
    const run = (await prepare()).run(
      { inputs: [words('word', 'a', 'b')], outputs: [] },
      () => Promise.reject(error),
      signal,
    );
    await expect(run).rejects.toBe(error);
  });

  it('ends with the reason of its signal', async () => {
    const abort = new AbortController();
    const runGraph: RunGraph = (_graph, _feeds, _outputs, inner) => {
      abort.abort(new Error('gone'));
      return Promise.reject(inner.reason as Error);
    };
    const run = (await prepare()).run({ inputs: [words('word', 'a')], outputs: [] }, runGraph, abort.signal);
    await expect(run).rejects.toThrow('gone');
  });

  it('counts a NaN as no confidence at all', async () => {
    const nan: RunGraph = async () => [fp32('y', [1, 1], [NaN])];
    expect((await (await prepare()).run({ inputs: [words('word', 'a')], outputs: [] }, nan, signal)).confidence).toBe(
      0,
    );
  });
});
