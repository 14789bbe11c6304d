import { describe, expect, it } from 'vitest';
import { DataflowError, planDataflow } from '@tidegate/shared/package/dataflow.js';
import { modelYamlSchema, type ModelYaml } from '@tidegate/shared/wire/model-yaml.js';

const spec = (name: string): object => ({ name, datatype: 'FP32', shape: [-1] });
const step = (inputs: string[], outputs: string[], id?: string): object => ({
  step: 'normalise',
  inputs,
  outputs,
  ...(id ? { id } : {}),
});

function yamlOf(pipeline: object[], more: object = {}): ModelYaml {
  return modelYamlSchema.parse({
    name: 'm',
    licence: 'MIT',
    inputs: [spec('in')],
    outputs: [spec('out')],
    pipeline,
    ...more,
  });
}

function pathOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof DataflowError) return `${error.path.map(String).join('.')}: ${error.message}`;
    throw error;
  }
  throw new Error('was planned without an error');
}

describe('planDataflow', () => {
  it('orders nodes by what they take, not by where they stand', () => {
    const yaml = yamlOf([step(['b'], ['out']), step(['in'], ['a']), step(['a'], ['b'])]);
    expect(planDataflow(yaml).nodes.map(({ index }) => index)).toEqual([1, 2, 0]);
  });

  it('lets branches meet', () => {
    const yaml = yamlOf([step(['in'], ['a']), step(['in'], ['b']), step(['a', 'b'], ['out'])]);
    expect(planDataflow(yaml).nodes.map(({ index }) => index)).toEqual([0, 1, 2]);
  });

  it.each([
    ['a cycle', yamlOf([step(['b'], ['a']), step(['a'], ['b']), step(['in'], ['out'])]), /^pipeline\.0: .*cycle/],
    [
      'two makers',
      yamlOf([step(['in'], ['out']), step(['in'], ['out'])]),
      /^pipeline\.1\.outputs: 'out' is already made by step/,
    ],
    [
      'a maker of an input',
      yamlOf([step(['in'], ['in', 'out'])]),
      /^pipeline\.0\.outputs: 'in' is already made by an input/,
    ],
    ['two equal ids', yamlOf([step(['in'], ['a'], 'x'), step(['a'], ['out'], 'x')]), /^pipeline\.1\.id: /],
    [
      'an input named twice',
      yamlOf([step(['in'], ['out'])], { inputs: [spec('in'), spec('in')] }),
      /^inputs\.1\.name: /,
    ],
    [
      'an ambiguous varied node',
      yamlOf([step(['in'], ['a']), step(['a'], ['out'])], {
        heavy: { vary: { node: 'normalise', parameter: 'mean', values: [1] }, keep: 'out' },
      }),
      /^heavy\.vary\.node: 2 steps .* id/,
    ],
  ])('refuses %s', (_, yaml, message) => {
    expect(pathOf(() => planDataflow(yaml))).toMatch(message);
  });

  describe('with the graphs in hand', () => {
    const specs = (...names: string[]) => names.map((name) => ({ name, datatype: 'FP32' as const, shape: [-1] }));
    const signatures = new Map([['net.onnx', { inputs: specs('in', 'more'), outputs: specs('out', 'rest') }]]);

    it('gives a graph without names the values of the same names', () => {
      const yaml = yamlOf([step(['in'], ['more']), { graph: 'net.onnx' }]);
      const [, graph] = planDataflow(yaml, signatures).nodes;
      expect(graph?.inputs).toEqual([
        { port: 'in', value: 'in' },
        { port: 'more', value: 'more' },
      ]);
      expect(graph?.outputs.map(({ value }) => value)).toEqual(['out', 'rest']);
    });

    it.each([
      [
        'an input that the graph lacks',
        { inputs: { in: 'in', more: 'in', nix: 'in' } },
        /^pipeline\.0\.inputs\.nix: graph net\.onnx has no input 'nix'; it has in, more/,
      ],
      [
        'an output that the graph lacks',
        { inputs: { in: 'in', more: 'in' }, outputs: { nix: 'out' } },
        /^pipeline\.0\.outputs\.nix: /,
      ],
      ['an input that is not fed', { inputs: { in: 'in' } }, /^pipeline\.0\.inputs: .*needs its input 'more'/],
    ])('refuses %s', (_, names, message) => {
      expect(pathOf(() => planDataflow(yamlOf([{ graph: 'net.onnx', ...names }]), signatures))).toMatch(message);
    });

    it('leaves out what the graph carries: state is no value of the pipeline', () => {
      const state = [{ input: 'more', output: 'rest', initial: 'zeros' as const }];
      const [graph] = planDataflow(yamlOf([{ graph: 'net.onnx', state }]), signatures).nodes;
      expect(graph?.inputs).toEqual([{ port: 'in', value: 'in' }]);
      expect(graph?.outputs).toEqual([{ port: 'out', value: 'out' }]);
      const fed = { graph: 'net.onnx', inputs: { in: 'in', more: 'in' }, state };
      expect(pathOf(() => planDataflow(yamlOf([fed])))).toMatch(
        /^pipeline\.0\.inputs\.more: 'more' of graph net\.onnx is state/,
      );
      const named = { graph: 'net.onnx', inputs: { in: 'in' }, outputs: { rest: 'out' }, state };
      expect(pathOf(() => planDataflow(yamlOf([named])))).toMatch(/^pipeline\.0\.outputs\.rest: 'rest' of graph/);
      const twice = [{ graph: 'net.onnx', state: [...state, ...state] }];
      expect(pathOf(() => planDataflow(yamlOf(twice)))).toMatch(
        /^pipeline\.0\.state: .* carries its input 'more' twice/,
      );
      const nodes = [
        { graph: 'net.onnx', inputs: { in: 'in' }, outputs: { out: 'a' }, state },
        { graph: 'net.onnx', inputs: { in: 'a' }, outputs: { out: 'out' } },
      ];
      expect(pathOf(() => planDataflow(yamlOf(nodes)))).toMatch(
        /^pipeline\.0\.state: .* may stand in the pipeline once/,
      );
      const batch = { maxRows: 2, padValue: 0 };
      expect(pathOf(() => planDataflow(yamlOf([{ graph: 'net.onnx', state, batch }])))).toMatch(
        /^pipeline\.0\.batch: /,
      );
    });

    it('takes undeclared names on trust until then', () => {
      expect(planDataflow(yamlOf([{ graph: 'net.onnx' }])).nodes).toHaveLength(1);
    });
  });
});

describe('a package that may be split', () => {
  const split = { placement: { split: true } };
  it.each([
    [
      'keeps its inputs here',
      yamlOf([step(['in'], ['out'])], { ...split, privacy: { fallback: 'local' } }),
      'privacy.fallback: local',
    ],
    [
      'carries state',
      yamlOf(
        [{ graph: 'm.onnx', inputs: { x: 'in' }, outputs: { y: 'out' }, state: [{ input: 'h', output: 'h2' }] }],
        split,
      ),
      'carries state',
    ],
  ])('is refused where it %s', (_case, yaml, text) => {
    expect(pathOf(() => planDataflow(yaml))).toContain('placement.split: ');
    expect(pathOf(() => planDataflow(yaml))).toContain(text);
  });

  it('is planned otherwise', () => {
    expect(planDataflow(yamlOf([step(['in'], ['out'])], split)).nodes).toHaveLength(1);
  });
});
