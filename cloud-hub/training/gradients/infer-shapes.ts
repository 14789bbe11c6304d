// Dimensions of a graph's values as far as they follow from what it declares: enough for a rule to choose a cheaper form. Sizes that
// are not known here are read by Shape nodes when the graph runs; what is known must be right. Ranks are read here alone: a rule that
// needs one (Resize; Conv without kernel_shape) refuses where there is none. Operators that are not listed, and whatever hangs on
// values, stay unknown.
import type { GraphProto, NodeProto, ValueInfo } from '@tidegate/shared/onnx/model-proto.js';
import { rawBytesOf } from '@tidegate/shared/onnx/tensor-data.js';

/** A size, the name of a dynamic one (equal names are equal sizes), or '' for an unknown one. */
type Dim = number | string;
export type Shape = readonly Dim[];

const INT64 = 7;

/** By value. */
export function inferShapes(graph: GraphProto): Map<string, Shape> {
  const shapes = new Map<string, Shape>();
  const constants = new Map<string, readonly number[]>();
  for (const t of graph.initializer) {
    const name = t.name ?? '';
    shapes.set(name, t.dims);
    if (t.dataType === INT64 && t.dims.length === 1) constants.set(name, int64s(rawBytesOf(t, name)));
  }
  for (const value of [...graph.valueInfo, ...graph.input]) {
    const shape = declaredShape(value);
    if (shape !== undefined) shapes.set(value.name ?? '', shape);
  }
  for (const node of graph.node) {
    const output = node.output[0] ?? '';
    const shape = shapes.has(output) ? undefined : outputShape(node, shapes, constants);
    if (shape !== undefined) shapes.set(output, shape);
  }
  return shapes;
}

function declaredShape({ type }: ValueInfo): Shape | undefined {
  // Some exporters write a dynamic size as -1.
  return type?.tensorType?.shape?.dim.map(({ dimValue, dimParam }) =>
    dimValue !== undefined && dimValue >= 0 ? dimValue : (dimParam ?? ''),
  );
}

function int64s(bytes: Uint8Array): number[] {
  return Array.from(new BigInt64Array(new Uint8Array(bytes).buffer), Number);
}

type Shapes = ReadonlyMap<string, Shape>;

function outputShape(
  node: NodeProto,
  shapes: Shapes,
  constants: ReadonlyMap<string, readonly number[]>,
): Shape | undefined {
  const inputs = node.input.map((name) => shapes.get(name));
  const [x, w] = inputs;
  if (x === undefined) return undefined;
  switch (node.opType) {
    case 'Abs':
    case 'BatchNormalization':
    case 'Cast':
    case 'Celu':
    case 'Clip':
    case 'Cos':
    case 'CumSum':
    case 'Dropout':
    case 'Elu':
    case 'Erf':
    case 'Exp':
    case 'Gelu':
    case 'HardSigmoid':
    case 'HardSwish':
    case 'Identity':
    case 'InstanceNormalization':
    case 'LayerNormalization':
    case 'LeakyRelu':
    case 'Log':
    case 'LogSoftmax':
    case 'Mish':
    case 'Neg':
    case 'PRelu':
    case 'Reciprocal':
    case 'Relu':
    case 'Selu':
    case 'Sigmoid':
    case 'Sin':
    case 'Softmax':
    case 'Softplus':
    case 'Softsign':
    case 'Sqrt':
    case 'Tanh':
    case 'Trilu':
      return x;
    case 'Resize': // sizes hang on values
    case 'DepthToSpace':
    case 'SpaceToDepth':
    case 'ConvTranspose':
      return x.map((d, i) => (i === 0 ? d : ''));
    case 'Concat':
      return joined(inputs, ints(node, 'axis')[0] ?? 0);
    case 'Add':
    case 'Div':
    case 'Max':
    case 'Min':
    case 'Mul':
    case 'Pow':
    case 'Sub':
    case 'Sum':
      return inputs.reduce((a, b) => (a && b ? broadcast(a, b) : undefined));
    case 'Gemm':
      return w && [x[ints(node, 'transA')[0] === 1 ? 1 : 0] ?? '', w[ints(node, 'transB')[0] === 1 ? 0 : 1] ?? ''];
    case 'MatMul':
      return w && product(x, w);
    case 'Conv':
      return w && [x[0] ?? '', w[0] ?? '', ...windows(node, x, w.slice(2))];
    case 'AveragePool':
    case 'MaxPool':
      return [...x.slice(0, 2), ...windows(node, x, ints(node, 'kernel_shape'))];
    case 'GlobalAveragePool':
    case 'GlobalMaxPool':
      return x.map((d, i) => (i < 2 ? d : 1));
    case 'Flatten':
      return flattened(x, ints(node, 'axis')[0] ?? 1);
    case 'Reshape':
      return reshaped(x, constants.get(node.input[1] ?? ''));
    case 'Transpose': {
      const perm = ints(node, 'perm');
      return perm.length === 0 ? x.toReversed() : perm.map((axis) => x[axis] ?? '');
    }
    default:
      return undefined;
  }
}

function ints(node: NodeProto, name: string): number[] {
  const found = node.attribute.find((a) => a.name === name);
  if (found === undefined) return [];
  return found.i === undefined ? Array.from(found.ints, Number) : [Number(found.i)];
}

function broadcast(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const [p, q] = [a[i - rank + a.length] ?? 1, b[i - rank + b.length] ?? 1];
    if (p === q || q === 1) return p;
    if (p === 1) return q;
    // A size above 1 wins over a dynamic one, which must be that or 1.
    return typeof p === 'number' ? p : typeof q === 'number' ? q : '';
  });
}

/** Sizes along `axis` add up; along the others one that is known is everyone's. */
function joined(inputs: readonly (Shape | undefined)[], axis: number): Shape | undefined {
  const known = inputs.filter((shape) => shape !== undefined);
  const [first] = known;
  if (first === undefined) return undefined;
  const at = axis < 0 ? axis + first.length : axis;
  return first.map((_, i) => {
    if (i !== at) return known.map((shape) => shape[i] ?? '').find((d) => d !== '') ?? '';
    const sizes = inputs.map((shape) => shape?.[i]);
    return sizes.reduce<Dim>((sum, d) => (typeof sum === 'number' && typeof d === 'number' ? sum + d : ''), 0);
  });
}

function product(a: Shape, b: Shape): Shape | undefined {
  if (a.length < 2 || b.length < 2) return undefined;
  return [...broadcast(a.slice(0, -2), b.slice(0, -2)), a.at(-2) ?? '', b.at(-1) ?? ''];
}

/** Spatial dimensions of what a window makes of x (ONNX, Conv and MaxPool). */
function windows(node: NodeProto, x: Shape, kernel: Shape): Dim[] {
  const [strides, dilations, pads] = [ints(node, 'strides'), ints(node, 'dilations'), ints(node, 'pads')];
  const bytes = node.attribute.find((a) => a.name === 'auto_pad')?.s;
  const auto = bytes === undefined ? 'NOTSET' : Buffer.from(bytes).toString();
  const rounded = ints(node, 'ceil_mode')[0] === 1 ? Math.ceil : Math.floor;
  return kernel.map((k, i) => {
    const [size, stride] = [x[i + 2], strides[i] ?? 1];
    if (typeof size !== 'number' || typeof k !== 'number') return '';
    if (auto.startsWith('SAME')) return Math.ceil(size / stride);
    const padding = auto === 'VALID' ? 0 : (pads[i] ?? 0) + (pads[i + kernel.length] ?? 0);
    // A last window that hangs over may be dropped, by rules of which engines have had two.
    if (rounded === Math.ceil && padding > 0) return '';
    return rounded((size + padding - (k - 1) * (dilations[i] ?? 1) - 1) / stride) + 1;
  });
}

/** The product; a dynamic size times ones is itself. */
function times(dims: Shape): Dim {
  const named = dims.filter((d) => typeof d === 'string');
  const size = dims.reduce<number>((all, d) => (typeof d === 'number' ? all * d : all), 1);
  if (named.length === 0) return size;
  return named.length === 1 && size === 1 ? (named[0] ?? '') : '';
}

function flattened(x: Shape, axis: number): Shape {
  const at = axis < 0 ? axis + x.length : axis;
  return [times(x.slice(0, at)), times(x.slice(at))];
}

function reshaped(x: Shape, to: readonly number[] | undefined): Shape | undefined {
  if (to === undefined) return undefined;
  const dims = to.map((d, i): Dim => (d === 0 ? (x[i] ?? '') : d));
  const open = to.indexOf(-1);
  if (open >= 0)
    dims[open] = rest(
      x,
      dims.filter((_, i) => i !== open),
    );
  return dims;
}

/** What is left of x's elements once `taken` is divided out. */
function rest(x: Shape, taken: Shape): Dim {
  const names = (dims: Shape): Dim[] => dims.filter((d) => typeof d === 'string').sort();
  const size = (dims: Shape): number => dims.reduce<number>((all, d) => (typeof d === 'number' ? all * d : all), 1);
  const left = size(x) / size(taken);
  const [all, gone] = [names(x), names(taken)];
  if (all.includes('')) return '';
  if (all.join(' ') === gone.join(' ')) return Number.isInteger(left) ? left : '';
  return gone.length === 0 && all.length === 1 && left === 1 ? (all[0] ?? '') : '';
}
