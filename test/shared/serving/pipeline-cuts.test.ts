import { describe, expect, it } from 'vitest';
import { preparePipeline, type RunGraph } from '@tidegate/shared/serving/pipeline.js';
import type { GraphSignature } from '@tidegate/shared/package/model-package.js';
import { modelYamlSchema } from '@tidegate/shared/wire/model-yaml.js';
import { catalogue, fp32, noAssets, numbersOf, textsOf, words } from '../../support/word-pipeline.js';

const row = (name: string): { name: string; datatype: 'FP32'; shape: number[] } => ({
  name,
  datatype: 'FP32',
  shape: [-1, 1],
});
const signature: GraphSignature = { inputs: [row('x')], outputs: [row('y')] };

/** word -> size -> (a.onnx) half -> (b.onnx) score -> label, sure; `early` is an output that a.onnx makes. */
const YAML = {
  name: 'm',
  licence: 'MIT',
  placement: { split: true },
  inputs: [{ name: 'word', datatype: 'BYTES', shape: [-1] }],
  outputs: [
    { name: 'half', datatype: 'FP32', shape: [-1, 1] },
    { name: 'label', datatype: 'BYTES', shape: [-1] },
  ],
  pipeline: [
    { step: 'measure', inputs: ['word'], outputs: ['size'] },
    { graph: 'a.onnx', inputs: { x: 'size' }, outputs: { y: 'half' } },
    { graph: 'b.onnx', inputs: { x: 'half' }, outputs: { y: 'score' } },
    { step: 'name', inputs: ['score'], outputs: ['label', 'sure'] },
  ],
  confidence: { output: 'sure', threshold: 0 },
};
const graphs = new Map(['a.onnx', 'b.onnx'].map((path) => [path, signature]));
const prepare = (change: object = {}) =>
  preparePipeline(modelYamlSchema.parse({ ...YAML, ...change }), noAssets, graphs, catalogue);

const plusOne: RunGraph = async (_graph, feeds) => [
  fp32(
    'y',
    feeds[0]?.shape as number[],
    numbersOf(feeds[0]).map((value) => value + 1),
  ),
];
const never = new AbortController().signal;

describe('pipelineCuts', () => {
  it('finds every place between two nodes, and the whole elsewhere first', async () => {
    const { cuts } = await prepare();
    expect(cuts.map(({ name, wantedHere, wantedThere }) => [name, wantedHere, wantedThere])).toEqual([
      ['word', [], ['half', 'label']],
      ['size', ['size'], ['half', 'label']],
      ['half', ['half'], ['label']],
      ['score', ['score', 'half'], ['label']],
    ]);
    expect(cuts.map(({ graphsBefore, nextGraph, oneItem }) => [graphsBefore, nextGraph, oneItem])).toEqual([
      [[], undefined, false],
      [[], 'a.onnx', true],
      [['a.onnx'], 'b.onnx', true],
      [['a.onnx', 'b.onnx'], undefined, true],
    ]);
  });

  it('finds none where the package does not ask for it', async () => {
    expect((await prepare({ placement: undefined })).cuts).toEqual([]);
  });

  it('gives the two parts the very answer of the whole, at every cut', async () => {
    const pipeline = await prepare();
    const inputs = [words('word', 'seven')];
    const whole = await pipeline.run({ inputs, outputs: [] }, plusOne, never);
    for (const cut of pipeline.cuts.slice(1)) {
      const first = await pipeline.run({ inputs, outputs: cut.wantedHere }, plusOne, never);
      const given = first.outputs.filter(({ name }) => cut.crossing.includes(name));
      expect(given.map(({ name }) => name).sort()).toEqual([...cut.crossing].sort());
      const rest = await pipeline.run({ inputs: given, outputs: cut.wantedThere }, plusOne, never);
      const all = new Map([...first.outputs, ...rest.outputs].map((value) => [value.name, value]));
      expect(numbersOf(all.get('half'))).toEqual(numbersOf(whole.outputs[0]));
      expect(textsOf(all.get('label'))).toEqual(textsOf(whole.outputs[1]));
      expect(rest.confidence ?? first.confidence).toBe(whole.confidence);
    }
  });

  it('leaves what the hub would do in another way on the device', async () => {
    const heavy = { vary: { node: 'measure', parameter: 'factor', values: [1, 2] }, keep: 'sure' };
    expect((await prepare({ heavy })).cuts.map(({ name }) => name)).toEqual(['size', 'half', 'score']);
  });

  it('does not cut before a step that takes items, to which what crosses would be more than one', async () => {
    const pipeline = [
      ...YAML.pipeline.slice(0, 2),
      { step: 'name', inputs: ['half'], outputs: ['label', 'sure'] },
      { step: 'measure', id: 'again', inputs: ['label'], outputs: ['length'] },
      { graph: 'b.onnx', inputs: { x: 'length' }, outputs: { y: 'score' } },
    ];
    const outputs = [{ name: 'score', datatype: 'FP32', shape: [-1, 1] }];
    expect((await prepare({ pipeline, outputs })).cuts.map(({ name }) => name)).toEqual(['word', 'length']);
  });

  it('does not cut between two runs of one graph', async () => {
    const pipeline = YAML.pipeline.map((node) => ('graph' in node ? { ...node, graph: 'a.onnx' } : node));
    expect((await prepare({ pipeline })).cuts.map(({ name }) => name)).toEqual(['word', 'size', 'score']);
  });
});
