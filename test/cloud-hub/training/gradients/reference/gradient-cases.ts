// The cases of cases.json as one graph, with parameters of their own, so that one run moves one element of every case: as many runs
// as the largest parameter has elements, not as all have together. make_reference.py reads the same file and makes the same values.
import { readFileSync } from 'node:fs';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import type { ModelProto, NodeProto, TensorProto, ValueInfo } from '@tidegate/shared/onnx/model-proto.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { bytesOf } from '@tidegate/shared/tensor/tensor.js';

type Attribute = number | string | readonly number[];

export interface GradientCase {
  readonly title: string;
  readonly op: string;
  readonly domain?: string;
  /** Shapes of the trained inputs. */
  readonly x: readonly (readonly number[])[];
  readonly y: readonly number[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
  /** Inputs after the trained ones that are constants: INT64 vectors, FP32 or INT64 tensors, or left out. */
  readonly rest?: readonly (
    | readonly number[]
    | { readonly dims: readonly number[]; readonly data: readonly number[] }
    | { readonly dims: readonly number[]; readonly ints: readonly number[] }
    | null
  )[];
  /** Of Where, before the trained inputs: rows of zeros and ones. */
  readonly condition?: readonly (readonly number[])[];
  /** Every element lies between these; -1 and 1 unless given. */
  readonly range?: readonly [number, number];
  readonly outputs?: number;
}

const read = (name: string): unknown => JSON.parse(readFileSync(new URL(name, import.meta.url), 'utf8'));

export const GRADIENT_CASES = read('cases.json') as readonly GradientCase[];

/** Gradients by PyTorch: of each case, by its title, one flat list for each trained input. */
export const TORCH_GRADIENTS = (read('gradients.json') as { gradients: Record<string, readonly number[][]> }).gradients;

const FLOAT_ATTRIBUTES: ReadonlySet<string> = new Set(['alpha', 'beta', 'cubic_coeff_a', 'epsilon']);

function attributesOf(c: GradientCase): Record<string, number | string | bigint | bigint[]> {
  const typed = ([name, value]: [string, Attribute]): [string, number | string | bigint | bigint[]] => {
    if (typeof value === 'string' || (typeof value === 'number' && FLOAT_ATTRIBUTES.has(name))) return [name, value];
    return [name, typeof value === 'number' ? BigInt(value) : value.map(BigInt)];
  };
  return Object.fromEntries(Object.entries(c.attributes ?? {}).map(typed));
}

/** Distinct values, a shuffled grid over the range: none sits near another, so that no maximum is near a tie. */
export function gridValues(count: number, [low, high]: readonly [number, number], seed: number): Float32Array {
  let state = seed * 7919 + 1;
  const grid = Array.from({ length: count }, (_, i) => low + ((i + 0.5) * (high - low)) / count);
  for (let i = count - 1; i > 0; i -= 1) {
    state = (state * 48271) % 2147483647;
    const j = state % (i + 1);
    [grid[i], grid[j]] = [grid[j]!, grid[i]!];
  }
  return Float32Array.from(grid);
}

export const sizeOf = (dims: readonly number[]): number => dims.reduce((a, d) => a * d, 1);

const fp32 = (name: string, dims: readonly number[], data: Float32Array): TensorProto =>
  makeTensor(name, 1, dims, bytesOf(data));

const int64 = (name: string, dims: readonly number[], data: readonly number[]): TensorProto =>
  makeTensor(name, 7, dims, bytesOf(BigInt64Array.from(data, BigInt)));

interface CasesGraph {
  /** Case `k` takes `ck_x0`, `ck_x1` ..., gives `ck_y`; `total` sums all outputs, each element times its weight. */
  readonly model: ModelProto;
  readonly parameters: ReadonlyMap<string, { readonly dims: readonly number[]; readonly data: Float32Array }>;
  /** By case, one for each element of its output. */
  readonly weights: readonly Float32Array[];
}

/** With `isDynamic` the inputs declare no sizes, each dimension a name of its own. */
export function graphOfCases(cases: readonly GradientCase[], isDynamic = false): CasesGraph {
  const nodes: NodeProto[] = [];
  const constants: TensorProto[] = [];
  const inputs: ValueInfo[] = [];
  const outputs: ValueInfo[] = [];
  const parameters = new Map<string, { dims: readonly number[]; data: Float32Array }>();
  const weights: Float32Array[] = [];
  cases.forEach((c, k) => {
    const xs = c.x.map((dims, i) => {
      const name = `c${k}_x${i}`;
      inputs.push(makeValue(name, 1, isDynamic ? dims.map((_, axis) => `${name}_${axis}`) : dims));
      parameters.set(name, { dims, data: gridValues(sizeOf(dims), c.range ?? [-1, 1], k * 10 + i) });
      return name;
    });
    const rest = (c.rest ?? []).map((r, i) => {
      if (r === null) return '';
      const name = `c${k}_r${i}`;
      if ('ints' in r) constants.push(int64(name, r.dims, r.ints));
      else constants.push('dims' in r ? fp32(name, r.dims, Float32Array.from(r.data)) : int64(name, [r.length], r));
      return name;
    });
    const conditions = c.condition === undefined ? [] : [`c${k}_if`];
    for (const name of conditions) {
      const rows = c.condition ?? [];
      constants.push(makeTensor(name, 9, [rows.length, rows[0]?.length ?? 0], Uint8Array.from(rows.flat())));
    }
    nodes.push(...nodesOf(c, k, [...conditions, ...xs, ...rest]));
    const weight = gridValues(sizeOf(c.y), [-1, 1.3], k + 500);
    weights.push(weight);
    constants.push(fp32(`c${k}_w`, c.y, weight));
    nodes.push(
      makeNode('Mul', [`c${k}_y`, `c${k}_w`], [`c${k}_yw`]),
      makeNode('ReduceSum', [`c${k}_yw`], [`c${k}_loss`], { attributes: { keepdims: 0n } }),
    );
    outputs.push(makeValue(`c${k}_y`, 1, c.y));
  });
  const losses = cases.map((_, k) => `c${k}_loss`);
  nodes.push(makeNode('Sum', losses, ['total']));
  return {
    model: makeModel(makeGraph(nodes, inputs, outputs, constants), { '': 20, 'com.microsoft': 1 }),
    parameters,
    weights,
  };
}

/** ONNX has no operator for the mean squared error: a title of our own for the three that make it. */
function nodesOf(c: GradientCase, k: number, inputs: readonly string[]): NodeProto[] {
  if (c.op === 'MeanSquaredError') {
    return [
      makeNode('Sub', inputs, [`c${k}_d`]),
      makeNode('Mul', [`c${k}_d`, `c${k}_d`], [`c${k}_square`]),
      makeNode('ReduceMean', [`c${k}_square`], [`c${k}_y`], { attributes: { keepdims: 0n } }),
    ];
  }
  const more = Array.from({ length: (c.outputs ?? 1) - 1 }, (_, i) => `c${k}_more${i}`);
  const options = { ...(c.domain ? { domain: c.domain } : {}), attributes: attributesOf(c) };
  return [makeNode(c.op, inputs, [`c${k}_y`, ...more], options)];
}
