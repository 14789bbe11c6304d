// Pipelines made at random of numbers, lists of three, graphs, joins and branches: the answer is that of computing everything, what runs is
// hardly more than what it needs, and nothing waits in a circle.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { preparePipeline, type Pipeline, type RunGraph } from '@tidegate/shared/serving/pipeline.js';
import type { Tensor } from '@tidegate/shared/tensor/tensor.js';
import { modelYamlSchema, type ModelYaml } from '@tidegate/shared/wire/model-yaml.js';
import { NUMBER_GRAPH, numberCatalogue } from '../../support/number-lists.js';
import { fp32, noAssets, numbersOf } from '../../support/word-pipeline.js';

const signal = new AbortController().signal;
/** Branches take the first side below it. */
const LIMIT = 3;

interface Made {
  readonly name: string;
  readonly kind: 'graph' | 'spread' | 'sum' | 'branch';
  readonly from: readonly string[];
  /** The spread that the value is a list of. */
  readonly list: string | undefined;
}

/** Each number picks what the next node is and takes. */
function drawn(picks: readonly number[]): Made[] {
  const made: Made[] = [{ name: 'in', kind: 'graph', from: [], list: undefined }];
  for (const [at, pick] of picks.entries()) {
    const name = `v${at}`;
    const choose = (values: readonly Made[], by: number): Made => values[by % values.length]!;
    const scalars = made.filter(({ list }) => list === undefined);
    const lists = made.filter(({ list }) => list !== undefined);
    const kind = (['graph', 'branch', 'graph', 'branch', 'spread', 'sum'] as const)[pick % 6]!;
    const rest = Math.floor(pick / 6);
    if (kind === 'spread') made.push({ name, kind, from: [choose(scalars, rest).name], list: name });
    else if (kind === 'sum' && lists.length > 0)
      made.push({ name, kind, from: [choose(lists, rest).name], list: undefined });
    else if (kind === 'branch') {
      const first = choose(made, rest);
      const sides = made.filter(({ list }) => list === undefined || list === first.list);
      const [one, other] = [choose(sides, Math.floor(rest / 7)), choose(sides, Math.floor(rest / 49))];
      made.push({ name, kind, from: [first.name, one.name, other.name], list: first.list });
    } else {
      const from = choose(made, rest);
      made.push({ name, kind: 'graph', from: [from.name], list: from.list });
    }
  }
  return made;
}

/** What each value is, computed all, and which values (or items, `v3:1`) an answer really needs. */
function computed(made: readonly Made[], input: number, wanted: readonly string[]) {
  const values = new Map<string, number[]>([['in', [input]]]);
  const byName = new Map(made.map((one) => [one.name, one]));
  const item = (name: string, at: number): number => values.get(name)![byName.get(name)!.list === undefined ? 0 : at]!;
  for (const { name, kind, from, list } of made.slice(1)) {
    const ofItem = (at: number): number => {
      if (kind === 'graph') return (3 * item(from[0]!, at) + 1) % 7;
      return item(from[0]!, at) < LIMIT ? item(from[1]!, at) : item(from[2]!, at);
    };
    if (kind === 'spread')
      values.set(
        name,
        [0, 1, 2].map((more) => (item(from[0]!, 0) + more) % 7),
      );
    else if (kind === 'sum') values.set(name, [values.get(from[0]!)!.reduce((all, one) => all + one, 0) % 7]);
    else values.set(name, (list === undefined ? [0] : [0, 1, 2]).map(ofItem));
  }
  const needed = new Set<string>();
  const need = (name: string, at: number): void => {
    const { kind, from, list } = byName.get(name)!;
    const key = `${name}:${list === undefined || kind === 'spread' ? 0 : at}`;
    if (needed.has(key)) return;
    needed.add(key);
    if (kind === 'sum') for (const one of [0, 1, 2]) need(from[0]!, one);
    else if (kind === 'branch') {
      need(from[0]!, at);
      need(item(from[0]!, at) < LIMIT ? from[1]! : from[2]!, at);
    } else if (from[0] !== undefined) need(from[0], kind === 'spread' ? 0 : at);
  };
  for (const name of wanted) need(name, 0);
  return {
    values,
    runs: [...needed].filter((key) => byName.get(key.split(':')[0]!)!.kind === 'graph' && !key.startsWith('in')),
  };
}

async function pipelineOf(
  made: readonly Made[],
  wanted: readonly string[],
  order: (a: Made, b: Made) => number,
): Promise<Pipeline> {
  const pipeline = made
    .slice(1)
    .sort(order)
    .map(({ name, kind, from }) =>
      kind === 'graph'
        ? { graph: `${name}.onnx`, inputs: { x: from[0] }, outputs: { y: name } }
        : { step: kind, inputs: from, outputs: [name], with: kind === 'branch' ? { below: LIMIT } : {} },
    );
  const type = { datatype: 'FP32', shape: [-1] };
  const yaml: ModelYaml = modelYamlSchema.parse({
    ...{ name: 'm', licence: 'MIT', inputs: [{ name: 'in', ...type }], pipeline },
    outputs: wanted.map((name) => ({ name, ...type })),
  });
  const graphs = new Map(made.map(({ name }) => [`${name}.onnx`, NUMBER_GRAPH]));
  return preparePipeline(yaml, noAssets, graphs, numberCatalogue);
}

describe('pipelines made at random', () => {
  it('answer as if everything were run, run all that is needed and hardly more, and never wait in a circle', async () => {
    let [needed, ran, all] = [0, 0, 0];
    const property = fc.asyncProperty(
      fc.array(fc.nat(6 * 7 * 49 - 1), { minLength: 6, maxLength: 28 }),
      fc.nat(6),
      fc.boolean(),
      async (picks, input, reversed) => {
        const made = drawn(picks);
        const wanted = made
          .filter(({ list }) => list === undefined)
          .slice(-2)
          .map(({ name }) => name);
        const pipeline = await pipelineOf(
          made,
          wanted,
          (a, b) => (reversed ? -1 : 1) * (made.indexOf(a) - made.indexOf(b)),
        );
        const { values, runs } = computed(made, input, wanted);
        let count = 0;
        const runGraph: RunGraph = async (_graph, [x]) => {
          count += 1;
          if (count % 3 === 0) await new Promise(setImmediate); // runs end in any order
          return [fp32('y', [1], [(3 * numbersOf(x)[0]! + 1) % 7])];
        };
        const { outputs } = await pipeline.run({ inputs: [fp32('in', [1], [input])], outputs: [] }, runGraph, signal);
        expect(outputs.map((one: Tensor) => numbersOf(one))).toEqual(wanted.map((name) => values.get(name)));
        expect(count).toBeGreaterThanOrEqual(runs.length);
        needed += runs.length;
        ran += count;
        all += made.reduce(
          (total, { kind, list }) => total + (kind === 'graph' ? (list === undefined ? 1 : 3) : 0),
          -1,
        );
      },
    );
    await fc.assert(property, { numRuns: 200 });
    expect(needed).toBeLessThan(all / 2);
    expect(ran / needed).toBeLessThan(1.05);
  });

  it('run each side once, for its rows, where a request has several', async () => {
    let [needed, ran, all] = [0, 0, 0];
    const property = fc.asyncProperty(
      fc.array(fc.nat(6 * 7 * 49 - 1), { minLength: 4, maxLength: 20 }),
      fc.array(fc.nat(6), { minLength: 2, maxLength: 5 }),
      async (picks, inputs) => {
        const made = drawn(picks.map((pick) => 6 * Math.floor(pick / 6) + (pick % 2))); // graphs and branches
        const wanted = made.slice(-2).map(({ name }) => name);
        const pipeline = await pipelineOf(made, wanted, () => 0);
        const graphs: string[] = [];
        let rows = 0;
        const runGraph: RunGraph = async (graph, [x]) => {
          graphs.push(graph);
          rows += x!.shape[0]!;
          return [
            fp32(
              'y',
              [x!.shape[0]!],
              numbersOf(x).map((value) => (3 * value + 1) % 7),
            ),
          ];
        };
        const request = { inputs: [fp32('in', [inputs.length], inputs)], outputs: [] };
        const { outputs } = await pipeline.run(request, runGraph, signal);
        const each = inputs.map((input) => computed(made, input, wanted));
        expect(outputs.map((one: Tensor) => numbersOf(one))).toEqual(
          wanted.map((name) => each.map(({ values }) => values.get(name)![0])),
        );
        expect(new Set(graphs).size).toBe(graphs.length);
        needed += each.reduce((total, { runs }) => total + runs.length, 0);
        ran += rows;
        all += inputs.length * (made.filter(({ kind }) => kind === 'graph').length - 1);
      },
    );
    await fc.assert(property, { numRuns: 200 });
    expect(ran).toBeGreaterThanOrEqual(needed);
    expect(needed).toBeLessThan(0.6 * all);
    expect(ran / needed).toBeLessThan(1.05);
  });
});
