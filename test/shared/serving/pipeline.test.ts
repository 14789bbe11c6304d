import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { GraphSignature } from '@tidegate/shared/package/model-package.js';
import { LIMIT_ITEMS } from '@tidegate/shared/serving/pipeline-items.js';
import { ITEMS_AT_ONCE, preparePipeline, type Pipeline, type RunGraph } from '@tidegate/shared/serving/pipeline.js';
import { stepCatalogue, type CatalogueStep, type StepCatalogue } from '@tidegate/shared/steps/step-catalogue.js';
import { StepError } from '@tidegate/shared/steps/step.js';
import { decodeBytes, encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { bytesOf, float32Of, tensor, type NamedTensor, type Tensor } from '@tidegate/shared/tensor/tensor.js';
import { modelYamlSchema, type ModelYaml } from '@tidegate/shared/wire/model-yaml.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;
const signal = new AbortController().signal;
const noAssets = { read: () => Promise.reject(new Error('no assets')) };
const fp32 = (name: string, shape: number[], values: readonly number[]): NamedTensor =>
  tensor(name, 'FP32', shape, bytesOf(Float32Array.from(values)));
const words = (name: string, ...values: string[]): NamedTensor =>
  tensor(name, 'BYTES', [values.length], encodeBytes(values.map((value) => new TextEncoder().encode(value))));
const textsOf = (value: Tensor | undefined): string[] =>
  (decodeBytes(value?.data ?? new Uint8Array()) ?? []).map((one) => new TextDecoder().decode(one));
const numbersOf = (value: Tensor | undefined): number[] => (value === undefined ? [] : [...float32Of(value)]);

/** A word -> its length times a factor, as FP32 [1, 1]: stands for a picture that is decoded and resized. */
const measure: CatalogueStep = {
  name: 'measure',
  takesItems: true,
  parameters: z.unknown(),
  prepare: (parameters) => {
    const { factor = 1 } = parameters as { factor?: number };
    if (typeof factor !== 'number') return Promise.reject(new StepError('measure', 'with.factor: must be a number'));
    return Promise.resolve({
      inferTypes: () => [{ datatype: 'FP32', shape: [1, 1] }],
      run: async ([input]) => {
        const [word] = textsOf(input);
        if (word === undefined || word === 'bad') throw new StepError('measure', 'is given no word');
        return [fp32('', [1, 1], [word.length * factor])];
      },
    });
  },
};
/** Numbers -> their names, and a confidence of number / 10. */
const name: CatalogueStep = {
  name: 'name',
  takesItems: false,
  parameters: z.unknown(),
  prepare: () =>
    Promise.resolve({
      inferTypes: () => [
        { datatype: 'BYTES', shape: [-1] },
        { datatype: 'FP32', shape: [-1] },
      ],
      run: async ([input]) => {
        const values = numbersOf(input);
        if (values.some((value) => value > 1000)) throw new StepError('name', 'is given a number without a name');
        const rows = [values.length];
        return [
          words('', ...values.map((value) => `n${value}`)),
          fp32(
            '',
            rows,
            values.map((value) => value / 10),
          ),
        ];
      },
    }),
};
const catalogue: StepCatalogue = new Map([...stepCatalogue, ['measure', measure], ['name', name]]);

const YAML = {
  name: 'm',
  licence: 'MIT',
  inputs: [{ name: 'word', datatype: 'BYTES', shape: [-1] }],
  outputs: [
    { name: 'label', datatype: 'BYTES', shape: [-1] },
    { name: 'sure', datatype: 'FP32', shape: [-1] },
  ],
  pipeline: [
    { step: 'measure', inputs: ['word'], outputs: ['size'] },
    { graph: 'net.onnx', inputs: { x: 'size' }, outputs: { y: 'score', extra: 'more' } },
    { step: 'name', inputs: ['score'], outputs: ['label', 'sure'] },
  ],
  confidence: { output: 'sure', threshold: 0.5 },
};
const signature: GraphSignature = {
  inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 1] }],
  outputs: [
    { name: 'y', datatype: 'FP32', shape: [-1, 1] },
    { name: 'extra', datatype: 'FP32', shape: [-1, -1] },
  ],
};

function prepare(change: object = {}, graph: GraphSignature = signature): Promise<Pipeline> {
  const yaml: ModelYaml = modelYamlSchema.parse({ ...YAML, ...change });
  return preparePipeline(yaml, noAssets, new Map([['net.onnx', graph]]), catalogue);
}

interface Call {
  readonly graph: string;
  readonly feeds: readonly NamedTensor[];
  readonly outputs: readonly string[];
}

/** y = x + 1, and as many extras as x says. */
function plusOne(calls: Call[] = []): RunGraph {
  return async (graph, feeds, outputs) => {
    calls.push({ graph, feeds, outputs });
    const values = numbersOf(feeds[0]);
    const all = [
      fp32(
        'y',
        [values.length, 1],
        values.map((value) => value + 1),
      ),
      fp32('extra', [1, values[0] ?? 0], Array(values[0] ?? 0).fill(0)),
    ];
    return all.filter((output) => outputs.includes(output.name));
  };
}

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
