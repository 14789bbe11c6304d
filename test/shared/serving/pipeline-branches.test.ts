// Branches: what the side that isn't taken needs is not run, alone, item by item in a list and nested; what that may never change is an answer.
import { describe, expect, it } from 'vitest';
import { preparePipeline, type Pipeline, type RunGraph } from '@tidegate/shared/serving/pipeline.js';
import { modelYamlSchema } from '@tidegate/shared/wire/model-yaml.js';
import { NUMBER_GRAPH, numberCatalogue } from '../../support/number-lists.js';
import { fp32, noAssets, numbersOf, prepare, textsOf, words, YAML } from '../../support/word-pipeline.js';

const signal = new AbortController().signal;

/** A small model answers; where it is unsure, a large one does. Written with the large one first: order says nothing. */
const CASCADE = [
  { step: 'name', id: 'large', inputs: ['large-score'], outputs: ['large-label', 'large-sure'] },
  { graph: 'net.onnx', inputs: { x: 'large-size' }, outputs: { y: 'large-score' } },
  { step: 'measure', id: 'again', inputs: ['word'], outputs: ['large-size'], with: { factor: 10 } },
  {
    step: 'branch',
    inputs: ['small-sure', 'large-label', 'large-sure', 'small-label', 'small-sure'],
    outputs: ['label', 'sure'],
    with: { below: 0.5 },
  },
  { step: 'measure', inputs: ['word'], outputs: ['small-size'] },
  { graph: 'net.onnx', inputs: { x: 'small-size' }, outputs: { y: 'small-score' } },
  { step: 'name', inputs: ['small-score'], outputs: ['small-label', 'small-sure'] },
];

/** y = x + 1; hears what each run was fed. */
function plusOne(fed: number[]): RunGraph {
  return async (_graph, [x]) => {
    fed.push(...numbersOf(x));
    return [fp32('y', [1, 1], [numbersOf(x)[0]! + 1])];
  };
}

describe('a branch on a value', () => {
  it('runs the large model only where the small one is unsure, each row by itself', async () => {
    const pipeline = await prepare({ pipeline: CASCADE });
    const fed: number[] = [];
    const choices: unknown[] = [];
    const asked = {
      inputs: [words('word', 'ab', 'abcdefg', 'abc')],
      outputs: [],
      onChoice: (c: unknown) => choices.push(c),
    };
    const { outputs, confidence } = await pipeline.run(asked, plusOne(fed), signal);
    expect(textsOf(outputs[0])).toEqual(['n21', 'n8', 'n31']);
    expect(numbersOf(outputs[1])[1]).toBeCloseTo(0.8);
    expect(confidence).toBeCloseTo(0.8);
    expect(fed.sort((a, b) => a - b)).toEqual([2, 3, 7, 20, 30]); // nothing of 'abcdefg' ran in the large one
    expect(choices).toEqual(
      expect.arrayContaining([
        { step: 'step branch', held: 1, of: 1 },
        { step: 'step branch', held: 0, of: 1 },
      ]),
    );
    expect(choices).toHaveLength(3);
  });

  it('does not run the steps of the other side either, nor waits for what it does not need', async () => {
    const failing = CASCADE.map((node) =>
      'id' in node && node.id === 'again' ? { ...node, with: { factor: 1e9 } } : node,
    );
    const pipeline = await prepare({ pipeline: failing });
    const run = (word: string) => pipeline.run({ inputs: [words('word', word)], outputs: [] }, plusOne([]), signal);
    expect(textsOf((await run('abcdef')).outputs[0])).toEqual(['n7']);
    await expect(run('a')).rejects.toThrow('step name: is given a number without a name');
  });

  it('gives a declared default, and runs nothing for it', async () => {
    const value = { datatype: 'BYTES', shape: [1], data: ['?'] };
    const branch = {
      step: 'branch',
      inputs: ['size', 'name'],
      outputs: ['label'],
      with: { above: 2, default: [value] },
    };
    const pipeline = await prepare({
      outputs: [YAML.outputs[0]],
      confidence: undefined,
      pipeline: [...YAML.pipeline.slice(0, 2), { step: 'name', inputs: ['score'], outputs: ['name'] }, branch],
    });
    const fed: number[] = [];
    const { outputs } = await pipeline.run({ inputs: [words('word', 'abc', 'ab')], outputs: [] }, plusOne(fed), signal);
    expect(textsOf(outputs[0])).toEqual(['n4', '?']);
    expect(fed).toEqual([3]);
  });

  it('runs what the caller asks for beside the branch', async () => {
    const pipeline = await prepare({ pipeline: CASCADE });
    const fed: number[] = [];
    const asked = { inputs: [words('word', 'abcdefg')], outputs: ['label', 'large-score'] };
    const { outputs } = await pipeline.run(asked, plusOne(fed), signal);
    expect([textsOf(outputs[0]), numbersOf(outputs[1])]).toEqual([['n8'], [71]]);
    const given = { inputs: [words('word', 'abcdefg'), fp32('small-sure', [1], [0.1])], outputs: ['label'] };
    expect(textsOf((await pipeline.run(given, plusOne([]), signal)).outputs[0])).toEqual(['n71']);
  });

  it('decides by what `heavy` varies: the hub may always ask the large model', async () => {
    const heavy = { vary: { node: 'branch', parameter: 'below', values: [0, 100] }, keep: 'sure' };
    const pipeline = await prepare({ pipeline: CASCADE, heavy });
    const fed: number[] = [];
    const { outputs, kept } = await pipeline.runHeavy(
      { inputs: [words('word', 'abcdefg')], outputs: [] },
      plusOne(fed),
      signal,
    );
    expect([textsOf(outputs[0]), kept, fed.sort()]).toEqual([['n71'], [1], [7, 70]]); // the small one ran once for both
  });

  it('ends with the first failure of either', async () => {
    const pipeline = await prepare({ pipeline: CASCADE });
    const failing: RunGraph = () => Promise.reject(new Error('out of order'));
    await expect(pipeline.run({ inputs: [words('word', 'a')], outputs: [] }, failing, signal)).rejects.toThrow(
      'out of order',
    );
  });
});

describe('a package with a branch', () => {
  const withBranch = (change: object, more: object = {}) =>
    prepare({
      pipeline: CASCADE.map((node) => ('step' in node && node.step === 'branch' ? { ...node, ...change } : node)),
      ...more,
    });
  it.each([
    [
      { inputs: ['small-sure', 'large-label', 'large-sure', 'small-sure', 'small-label'] },
      /step branch: its sides differ in value 0: BYTES \[-1\] and FP32 \[-1\]/,
    ],
    [{ inputs: ['small-sure', 'large-label'] }, /takes a value and then equally many for both sides, but 2 inputs/],
    [{ inputs: ['small-label', 'large-label', 'small-label'] }, /decides by a number, but is given BYTES/],
    [{ with: { equals: 'yes' } }, /decides by BYTES, but is given FP32/],
    [{ with: { below: 1, above: 2 } }, /takes one of above, below, equals, empty, but 2 are given/],
    [{ with: {} }, /but 0 are given/],
    [
      { with: { below: 1, default: [{ datatype: 'BYTES', shape: [1], data: ['a'] }] } },
      /with\.default: gives 1 values, but the first side has 4/,
    ],
    [
      { with: { below: 1, default: [{ datatype: 'INT8', shape: [2], data: [1] }] } },
      /with\.default\.0\.data: has 1 elements/,
    ],
    [
      { with: { below: 1, default: [{ datatype: 'INT8', shape: [1], data: [1000] }] } },
      /step branch: .*with\.default\.0\.data/,
    ],
  ])('is refused with %o', async (change, message) => {
    await expect(withBranch(change)).rejects.toThrow(message);
    await expect(withBranch(change)).rejects.toThrow(/^model\.yaml: pipeline\.3: step branch: /);
  });

  it('is refused where it may be split, or where its inputs have no rows', async () => {
    await expect(prepare({ pipeline: CASCADE, placement: { split: true } })).rejects.toThrow(/contradicts step branch/);
    const three = { name: 'word', datatype: 'BYTES', shape: [3] };
    await expect(prepare({ pipeline: CASCADE, inputs: [three] })).rejects.toThrow(
      /dimension 0 of the input 'word' is no row/,
    );
  });

  it('has no cut', async () => {
    expect((await prepare({ pipeline: CASCADE })).cuts).toEqual([]);
  });
});

describe('a branch in a list', () => {
  const graph = (name: string, from: string) => ({ graph: `${name}.onnx`, inputs: { x: from }, outputs: { y: name } });
  const branch = (name: string, ...inputs: string[]) => ({
    step: 'branch',
    id: name,
    inputs,
    outputs: [name],
    with: { below: 3 },
  });
  const of = async (pipeline: readonly object[], input: number) => {
    const type = { datatype: 'FP32', shape: [-1] };
    const yaml = modelYamlSchema.parse({
      ...{
        name: 'm',
        licence: 'MIT',
        inputs: [{ name: 'in', ...type }],
        outputs: [{ name: 'out', ...type }],
        pipeline,
      },
    });
    const graphs = new Map(['cheap', 'dear', 'whole'].map((name) => [`${name}.onnx`, NUMBER_GRAPH]));
    const ran: string[] = [];
    const times10: RunGraph = async (path, [x]) => {
      ran.push(`${path.slice(0, -5)} ${numbersOf(x).join(' ')}`);
      return [
        fp32(
          'y',
          x!.shape as number[],
          numbersOf(x).map((value) => value * 10),
        ),
      ];
    };
    const choices: unknown[] = [];
    const request = {
      inputs: [fp32('in', [1], [input])],
      outputs: [],
      onChoice: (choice: unknown) => choices.push(choice),
    };
    const answer = (await preparePipeline(yaml, noAssets, graphs, numberCatalogue)).run(request, times10, signal);
    return { out: numbersOf((await answer).outputs[0]), ran: ran.sort(), choices };
  };
  const LIST = { step: 'spread', inputs: ['in'], outputs: ['list'] };

  it('runs each side for its own items, several in one run', async () => {
    const batched = { ...graph('dear', 'list'), batch: { maxRows: 4 } };
    const each = [LIST, batched, graph('cheap', 'list'), branch('chosen', 'list', 'dear', 'cheap')];
    const { out, ran, choices } = await of([...each, { step: 'join', inputs: ['chosen'], outputs: ['out'] }], 1);
    expect(out).toEqual([10, 20, 30]);
    expect(ran).toEqual(['cheap 3', 'dear 1 2']); // the items 1 2 3: two are under 3, and share a run
    expect(choices).toEqual([{ step: 'step branch (chosen)', held: 2, of: 3 }]);
  });

  it('runs a side that takes all items as one for all of them, or not at all', async () => {
    const all = [LIST, graph('whole', 'list'), { step: 'sum', inputs: ['whole'], outputs: ['total'] }];
    const each = [
      ...all,
      branch('chosen', 'list', 'total', 'list'),
      { step: 'join', inputs: ['chosen'], outputs: ['out'] },
    ];
    expect(await of(each, 2)).toMatchObject({ out: [6, 3, 4], ran: ['whole 2', 'whole 3', 'whole 4'] }); // 20 + 30 + 40, mod 7
    expect(await of(each, 3)).toMatchObject({ out: [3, 4, 5], ran: [] });
  });

  it('runs nothing behind a list without items', async () => {
    const none = { step: 'perspective-crop', inputs: ['pixels', 'boxes'], outputs: ['cut'] };
    const yaml = modelYamlSchema.parse({
      ...{ name: 'm', licence: 'MIT', outputs: [{ name: 'out', datatype: 'UINT8', shape: [-1, -1, -1, 1] }] },
      inputs: [
        { name: 'pixels', datatype: 'UINT8', shape: [1, 4, 4, 1] },
        { name: 'boxes', datatype: 'FP32', shape: [-1, 4, 2] },
        { name: 'score', datatype: 'FP32', shape: [1] },
      ],
      pipeline: [
        none,
        { step: 'branch', inputs: ['boxes', 'pixels', 'joined'], outputs: ['out'], with: { empty: true } },
        { step: 'join', inputs: ['cut'], outputs: ['joined'] },
      ],
    });
    const pipeline = await preparePipeline(yaml, noAssets, new Map(), numberCatalogue);
    const pixels = { name: 'pixels', datatype: 'UINT8' as const, shape: [1, 4, 4, 1], data: new Uint8Array(16) };
    const run = async (boxes: readonly number[]) =>
      (
        await pipeline.run(
          { inputs: [pixels, fp32('boxes', [boxes.length / 8, 4, 2], boxes)], outputs: [] },
          () => Promise.reject(new Error()),
          signal,
        )
      ).outputs[0]?.shape;
    expect(await run([])).toEqual([1, 4, 4, 1]);
    expect(await run([0, 0, 2, 0, 2, 2, 0, 2])).toEqual([1, 2, 2, 1]);
  });

  it('is refused where it decides once and chooses between lists', async () => {
    const once = [LIST, branch('chosen', 'in', 'list', 'list'), { step: 'join', inputs: ['chosen'], outputs: ['out'] }];
    await expect(of(once, 1)).rejects.toThrow(
      /pipeline\.1\.inputs: step branch \(chosen\) decides once, and so can't choose between lists/,
    );
  });
});

describe('a branch for several rows', () => {
  const IMAGE = { name: 'x', datatype: 'FP32', shape: [-1, 2] };
  const signatures = new Map([
    [
      'net.onnx',
      {
        inputs: [{ ...IMAGE, datatype: 'FP32' as const }],
        outputs: [{ name: 'y', datatype: 'FP32' as const, shape: [-1, 2] }],
      },
    ],
  ]);
  const open = (nodes: readonly object[], inputs: readonly object[] = [IMAGE]) =>
    preparePipeline(
      modelYamlSchema.parse({
        ...{ name: 'm', licence: 'MIT', inputs, outputs: [{ name: 'label', datatype: 'BYTES', shape: [-1] }] },
        pipeline: [
          { step: 'classify', inputs: ['x'], outputs: ['own', 'sure'], with: { activation: 'none' } },
          ...nodes,
        ],
      }),
      noAssets,
      signatures,
    );
  const LARGE = [
    { graph: 'net.onnx', outputs: { y: 'scores' } },
    { step: 'classify', id: 'large', inputs: ['scores'], outputs: ['other'], with: { labels: ['no', 'yes'] } },
  ];
  const branch = (inputs: string[], more: object = {}) => ({
    step: 'branch',
    inputs,
    outputs: ['label'],
    with: { below: 0.7, ...more },
  });
  const ask = (pipeline: Pipeline, rows: readonly number[], runGraph: RunGraph) =>
    pipeline.run({ inputs: [fp32('x', [rows.length / 2, 2], rows)], outputs: [] }, runGraph, signal);
  const ROWS = [0.9, 0.1, 0.4, 0.6, 0.2, 0.8, 0.55, 0.45];

  it('feeds a side its rows, in one run, and puts them back in their places', async () => {
    const fed: number[][] = [];
    const swapped: RunGraph = async (_graph, [x]) => {
      fed.push(x!.shape as number[]);
      return [fp32('y', x!.shape as number[], numbersOf(x))];
    };
    const pipeline = await open([...LARGE, branch(['sure', 'other', 'own'])]);
    expect(textsOf((await ask(pipeline, ROWS, swapped)).outputs[0])).toEqual(['0', 'yes', '1', 'no']);
    expect(fed).toEqual([[2, 2]]);
    expect(textsOf((await ask(pipeline, ROWS.slice(0, 2), swapped)).outputs[0])).toEqual(['0']);
    expect(fed).toHaveLength(1); // no row needs it
    expect(pipeline.sides).toEqual(new Map([['step branch', { held: 2, other: 3 }]]));
  });

  it('has a default for each', async () => {
    const constant = { datatype: 'BYTES', shape: [1], data: ['?'] };
    const pipeline = await open([branch(['sure', 'own'], { below: undefined, above: 0.7, default: [constant] })]);
    expect(textsOf((await ask(pipeline, ROWS, plusOne([]))).outputs[0])).toEqual(['0', '?', '1', '?']);
  });

  it('fails where a side has other rows, naming its node, and refuses a request without any', async () => {
    const pipeline = await open([...LARGE, branch(['sure', 'other', 'own'])]);
    const one: RunGraph = async () => [fp32('y', [1, 2], [0, 1])];
    await expect(ask(pipeline, ROWS, one)).rejects.toThrow(
      'graph net.onnx made FP32 [1, 2], but a branch decides for 2 rows',
    );
    await expect(ask(pipeline, [], one)).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});
