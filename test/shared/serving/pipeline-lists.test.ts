// Lists inside a pipeline: made from boxes, mapped over by steps and graphs, batched, joined; and what is refused when a
// package is read.
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { GraphSignature } from '@tidegate/shared/package/model-package.js';
import { preparePipeline, type Pipeline, type RunGraph } from '@tidegate/shared/serving/pipeline.js';
import { stepCatalogue, type CatalogueStep } from '@tidegate/shared/steps/step-catalogue.js';
import { decodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { bytesOf, float32Of, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { modelYamlSchema } from '@tidegate/shared/wire/model-yaml.js';

const signal = new AbortController().signal;
const noAssets = { read: () => Promise.reject(new Error('no assets')) };

const CROP = { step: 'perspective-crop', inputs: ['pixels', 'boxes'], outputs: ['cut'], with: { turnFrom: 1000 } };
const NUMBERS = { step: 'normalise', inputs: ['cut'], outputs: ['x'], with: { divisor: 1 } };
const GRAPH = { graph: 'sum.onnx', inputs: { x: 'x' }, outputs: { y: 'scores' }, batch: { maxRows: 2, padAxis: 3 } };
const CLASSIFY = { step: 'classify', inputs: ['scores'], outputs: ['label', 'sure'], with: { activation: 'none' } };
const JOIN_LABEL = { step: 'join', id: 'join-label', inputs: ['label'], outputs: ['labels'] };
const JOIN_SURE = { step: 'join', id: 'join-sure', inputs: ['sure'], outputs: ['confidence'] };
const NODES = [CROP, NUMBERS, GRAPH, CLASSIFY, JOIN_LABEL, JOIN_SURE];
const YAML = {
  name: 'm',
  licence: 'MIT',
  inputs: [
    { name: 'pixels', datatype: 'UINT8', shape: [1, -1, -1, 1] },
    { name: 'boxes', datatype: 'FP32', shape: [-1, 4, 2] },
  ],
  outputs: [
    { name: 'labels', datatype: 'BYTES', shape: [-1] },
    { name: 'confidence', datatype: 'FP32', shape: [-1] },
  ],
  pipeline: NODES,
};
const SIGNATURE: GraphSignature = {
  inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 1, 1, -1] }],
  outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 2] }],
};

function prepare(change: object = {}, signature = SIGNATURE, catalogue = stepCatalogue): Promise<Pipeline> {
  const yaml = modelYamlSchema.parse({ ...YAML, ...change });
  return preparePipeline(yaml, noAssets, new Map([['sum.onnx', signature]]), catalogue);
}

/** y of a row: the sum of its numbers, and -1. */
function summing(shapes: (readonly number[])[] = []): RunGraph {
  return async (_graph, [x]) => {
    const [rows = 0, , , width = 0] = x!.shape;
    shapes.push(x!.shape);
    const values = float32Of(x!);
    const sums = Array.from({ length: rows }, (_, row) =>
      values.subarray(row * width, (row + 1) * width).reduce((sum, one) => sum + one, 0),
    );
    return [tensor('y', 'FP32', [rows, 2], bytesOf(Float32Array.from(sums.flatMap((sum) => [sum, -1]))))];
  };
}

/** A picture of one row, 1 2 3 ...; boxes cut from `from` so many pixels. */
const pixels = tensor(
  'pixels',
  'UINT8',
  [1, 2, 9, 1],
  Uint8Array.from({ length: 18 }, (_, at) => (at % 9) + 1),
);
function boxes(...cuts: (readonly [from: number, width: number])[]): NamedTensor {
  const corners = cuts.flatMap(([from, width]) => [from, 0, from + width, 0, from + width, 1, from, 1]);
  return tensor('boxes', 'FP32', [cuts.length, 4, 2], bytesOf(Float32Array.from(corners)));
}

async function sumsOf(pipeline: Pipeline, cut: NamedTensor, runGraph = summing()): Promise<number[]> {
  const { outputs } = await pipeline.run({ inputs: [pixels, cut], outputs: [] }, runGraph, signal);
  expect(decodeBytes(outputs[0]?.data ?? new Uint8Array())).toHaveLength(cut.shape[0] ?? 0);
  expect(outputs.map(({ shape }) => shape)).toEqual([[cut.shape[0]], [cut.shape[0]]]);
  return [...float32Of(outputs[1]!)];
}

describe('a list in a pipeline', () => {
  it('is mapped over and joined in its order; runs are filled by length, and padded to the longest', async () => {
    const shapes: (readonly number[])[] = [];
    const cuts = boxes([0, 4], [2, 1], [1, 3], [8, 1], [0, 2]);
    expect(await sumsOf(await prepare(), cuts, summing(shapes))).toEqual([10, 3, 9, 9, 3]);
    expect(shapes).toEqual([
      [2, 1, 1, 1],
      [2, 1, 1, 3],
      [1, 1, 1, 4],
    ]);
  });

  it('pads with the value that is named', async () => {
    const graph = { ...GRAPH, batch: { maxRows: 8, padAxis: 3, padValue: 0.5 } };
    const pipeline = await prepare({ pipeline: [CROP, NUMBERS, graph, CLASSIFY, JOIN_LABEL, JOIN_SURE] });
    expect(await sumsOf(pipeline, boxes([0, 3], [0, 1]))).toEqual([6, 2]);
  });

  it('runs each item alone without a rule, and equal shapes together without an axis', async () => {
    const shapes: (readonly number[])[] = [];
    const { batch: _, ...alone } = GRAPH;
    const one = await prepare({ pipeline: [CROP, NUMBERS, alone, CLASSIFY, JOIN_LABEL, JOIN_SURE] });
    expect(await sumsOf(one, boxes([0, 2], [1, 2]), summing(shapes))).toEqual([3, 5]);
    const equal = { ...GRAPH, batch: { maxRows: 8 } };
    const together = await prepare({ pipeline: [CROP, NUMBERS, equal, CLASSIFY, JOIN_LABEL, JOIN_SURE] });
    expect(await sumsOf(together, boxes([0, 2], [0, 1], [1, 2]), summing(shapes))).toEqual([3, 1, 5]);
    expect(shapes.map(([rows]) => rows)).toEqual([1, 1, 2, 1]);
  });

  it('may be empty: no run, and an answer of no rows', async () => {
    const shapes: (readonly number[])[] = [];
    const pipeline = await prepare();
    expect(await sumsOf(pipeline, boxes(), summing(shapes))).toEqual([]);
    expect(shapes).toEqual([]);
  });

  it('is no value that a request gives or gets', async () => {
    const pipeline = await prepare();
    expect(pipeline.inner.map(({ name }) => name)).toEqual([]);
    const asked = { inputs: [pixels, boxes([0, 2])], outputs: ['scores'] };
    await expect(pipeline.run(asked, summing(), signal)).rejects.toMatchObject({
      code: 'invalid-argument',
      message: expect.stringContaining("has no output 'scores'") as string,
    });
  });

  it('says that the caller gave a bad box, and that a graph answered with other rows', async () => {
    const pipeline = await prepare();
    await expect(sumsOf(pipeline, boxes([0, 0]))).rejects.toMatchObject({
      code: 'invalid-argument',
      message: expect.stringContaining('step perspective-crop: box 0 is 0 x 1 pixels') as string,
    });
    const oneRow: RunGraph = async () => [tensor('y', 'FP32', [1, 2], new Uint8Array(8))];
    await expect(sumsOf(pipeline, boxes([0, 2], [0, 1]), oneRow)).rejects.toMatchObject({
      code: 'failed',
      message: 'graph sum.onnx was fed 2 rows and gave FP32 [1, 2]',
    });
  });

  it('goes run by run into the step that alone takes it, and is kept whole where two do', async () => {
    const order: string[] = [];
    const told: CatalogueStep = {
      name: 'told',
      takesItems: false,
      parameters: z.unknown(),
      prepare: () =>
        Promise.resolve({
          inferTypes: (inputs) => [...inputs],
          run: async ([input]) => {
            order.push('step');
            return [input!];
          },
        }),
    };
    const runGraph: RunGraph = (graph, feeds, outputs, inner) => {
      order.push('run');
      return summing()(graph, feeds, outputs, inner);
    };
    const { batch: _, ...alone } = GRAPH;
    const told1 = { step: 'told', id: 'told-1', inputs: ['scores'], outputs: ['heard'] };
    const heard = { ...CLASSIFY, inputs: ['heard'] };
    const nodes = [CROP, NUMBERS, alone, told1, heard, JOIN_LABEL, JOIN_SURE];
    const sole = await prepare({ pipeline: nodes }, SIGNATURE, new Map([...stepCatalogue, ['told', told]]));
    const cuts = boxes(...Array.from({ length: 6 }, (_none, at) => [at, 2] as const));
    const expected = [3, 5, 7, 9, 11, 13];
    expect(await sumsOf(sole, cuts, runGraph)).toEqual(expected);
    expect(order.indexOf('step')).toBeLessThan(order.lastIndexOf('run'));
    const second = { ...CLASSIFY, id: 'second', outputs: ['label2', 'sure2'] };
    const joined = { step: 'join', id: 'join-2', inputs: ['sure2'], outputs: ['confidence2'] };
    const two = await prepare({
      outputs: [...YAML.outputs, { name: 'confidence2', datatype: 'FP32', shape: [-1] }],
      pipeline: [...NODES, second, joined],
    });
    const { outputs } = await two.run({ inputs: [pixels, cuts], outputs: [] }, summing(), signal);
    expect(outputs.slice(1).map((one) => [...float32Of(one)])).toEqual([expected, expected]);
  });

  it('stops between items when the request ends', async () => {
    const abort = new AbortController();
    const pipeline = await prepare();
    const cuts = boxes(...Array.from({ length: 200 }, () => [0, 2] as const));
    const ran: number[] = [];
    const stop: RunGraph = async (graph, feeds, outputs, inner) => {
      ran.push(1);
      if (ran.length === 3) abort.abort(new Error('gone'));
      return summing()(graph, feeds, outputs, inner);
    };
    await expect(pipeline.run({ inputs: [pixels, cuts], outputs: [] }, stop, abort.signal)).rejects.toThrow('gone');
    expect(ran.length).toBeLessThan(10);
  });
});

describe('a package with lists is refused', () => {
  const graph = (batch: object): object => ({
    pipeline: [CROP, NUMBERS, { ...GRAPH, batch }, CLASSIFY, JOIN_LABEL, JOIN_SURE],
  });
  const CROP_AGAIN = { ...CROP, id: 'again', outputs: ['cut2'] };
  it.each([
    [
      'when a list leaves the pipeline',
      { outputs: [{ name: 'label', datatype: 'BYTES', shape: [-1] }] },
      'outputs.0',
      "'label' is a list, one item for each that step perspective-crop makes; join it first",
    ],
    ['when the confidence is a list', { confidence: { output: 'sure' } }, 'confidence.output', "'sure' is a list"],
    [
      'when lists of different origin meet',
      {
        pipeline: [
          ...NODES,
          CROP_AGAIN,
          { step: 'rotate', inputs: ['cut2', 'label', 'sure'], outputs: ['r'], with: { degrees: 90, where: '1' } },
        ],
      },
      'pipeline.7.inputs',
      "step rotate is fed lists of different origin ('cut2', 'label', 'sure'): step perspective-crop (again) and step perspective-crop",
    ],
    [
      'when a list would be made of a list',
      { pipeline: [...NODES, { ...CROP, id: 'deep', inputs: ['cut', 'boxes'], outputs: ['cuts'] }] },
      'pipeline.6.inputs',
      "step perspective-crop (deep) makes a list, and can't be fed one",
    ],
    [
      'when what is joined is no list',
      { pipeline: [...NODES, { step: 'join', id: 'j', inputs: ['labels'], outputs: ['more'] }] },
      'pipeline.6.inputs',
      'step join (j) takes 1 input, which has to be a list',
    ],
    [
      "when items don't fit a step",
      { pipeline: [CROP, { ...NUMBERS, step: 'pad-width', with: {} }, GRAPH, CLASSIFY, JOIN_LABEL, JOIN_SURE] },
      'pipeline.1',
      'step pad-width: takes FP32 [1, -1, -1, -1], but is given UINT8',
    ],
    [
      'when the axis is not free',
      graph({ maxRows: 2, padAxis: 2 }),
      'pipeline.2.batch.padAxis',
      'dimension 2 is not free',
    ],
  ])('%s', async (_, change, field, message) => {
    await expect(prepare(change)).rejects.toMatchObject({
      name: 'PackageError',
      code: 'invalid-model',
      place: { field },
      message: expect.stringContaining(message) as string,
    });
  });

  it('when rows or padding are not possible, or nothing is a list', async () => {
    const fixed = { ...SIGNATURE, inputs: [{ name: 'x', datatype: 'FP32' as const, shape: [1, 1, 1, -1] }] };
    await expect(prepare({}, fixed)).rejects.toThrow("takes FP32 [1, 1, 1, -1] as 'x', which has no free rows");
    const whole = { ...GRAPH, inputs: { x: 'x2' }, outputs: { y: 'y2' } };
    const plain = { step: 'normalise', id: 'plain', inputs: ['pixels'], outputs: ['x2'] };
    await expect(prepare({ pipeline: [...NODES, plain, whole] })).rejects.toThrow(
      'graph sum.onnx is fed no list, so there is nothing to batch',
    );
  });
});
