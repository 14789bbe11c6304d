// A small pipeline over words for tests: `measure` a word, add one in a graph, `name` the number.
import { z } from 'zod';
import type { GraphSignature } from '@tidegate/shared/package/model-package.js';
import { preparePipeline, type Pipeline, type RunGraph } from '@tidegate/shared/serving/pipeline.js';
import { stepCatalogue, type CatalogueStep, type StepCatalogue } from '@tidegate/shared/steps/step-catalogue.js';
import { StepError } from '@tidegate/shared/steps/step.js';
import { decodeBytes, encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { bytesOf, float32Of, tensor, type NamedTensor, type Tensor } from '@tidegate/shared/tensor/tensor.js';
import { modelYamlSchema, type ModelYaml } from '@tidegate/shared/wire/model-yaml.js';

export const noAssets = { read: () => Promise.reject(new Error('no assets')) };
export const fp32 = (name: string, shape: number[], values: readonly number[]): NamedTensor =>
  tensor(name, 'FP32', shape, bytesOf(Float32Array.from(values)));
export const words = (name: string, ...values: string[]): NamedTensor =>
  tensor(name, 'BYTES', [values.length], encodeBytes(values.map((value) => new TextEncoder().encode(value))));
export const textsOf = (value: Tensor | undefined): string[] =>
  (decodeBytes(value?.data ?? new Uint8Array()) ?? []).map((one) => new TextDecoder().decode(one));
export const numbersOf = (value: Tensor | undefined): number[] => (value === undefined ? [] : [...float32Of(value)]);

/** A word -> its length times a factor, as FP32 [1, 1]: stands for a picture that is decoded and resized. */
export const measure: CatalogueStep = {
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
export const name: CatalogueStep = {
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
export const catalogue: StepCatalogue = new Map([...stepCatalogue, ['measure', measure], ['name', name]]);

export const YAML = {
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
export const signature: GraphSignature = {
  inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 1] }],
  outputs: [
    { name: 'y', datatype: 'FP32', shape: [-1, 1] },
    { name: 'extra', datatype: 'FP32', shape: [-1, -1] },
  ],
};

export function prepare(change: object = {}, graph: GraphSignature = signature): Promise<Pipeline> {
  const yaml: ModelYaml = modelYamlSchema.parse({ ...YAML, ...change });
  return preparePipeline(yaml, noAssets, new Map([['net.onnx', graph]]), catalogue);
}

export interface Call {
  readonly graph: string;
  readonly feeds: readonly NamedTensor[];
  readonly outputs: readonly string[];
}

/** y = x + 1, and as many extras as x says. */
export function plusOne(calls: Call[] = []): RunGraph {
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
