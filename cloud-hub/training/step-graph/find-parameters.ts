// What of a graph is a weight. ONNX does not say: a weight, the deviation that pixels are divided by and an attention's scale are
// all initializers. What counts:
//   1. weights of Conv, ConvTranspose, Gemm, MatMul, LSTM, GRU and RNN, tables of Gather, slopes of PRelu, scales and shifts of
//      normalizations (but for the ones and zeros that exporters give an InstanceNormalization inside a group normalization);
//   2. an operand of Add, Sub, Mul or Div with more than one element, where the other operand comes out of such an operator: a
//      bias after MatMul is trained, the mean that is taken off the picture is not;
//   3. an operand of Concat beside such a value: a class token;
//   4. through operators that only move elements (a Transpose or Identity between the initializer and its reader), and of a weight
//      that is computed from initializers alone (the norm and direction of a weight norm, the gates that an LSTM's are made of) each.
// Running statistics of BatchNormalization are no parameters (the gradient does not reach them): they come apart. So do weights of
// other types (half precision, quantized), which no gradient can be added to.
import { domainName } from '@tidegate/shared/onnx/inspect-model.js';
import type { GraphProto, NodeProto, TensorProto } from '@tidegate/shared/onnx/model-proto.js';
import { floatsOf } from '@tidegate/shared/onnx/tensor-data.js';
import { elementCount } from '@tidegate/shared/tensor/tensor.js';
import { FLOAT } from './step-nodes.js';

/** Real types that are not trained. */
const REAL_NAMES: Readonly<Record<number, string>> = { 10: 'FLOAT16', 11: 'DOUBLE', 16: 'BFLOAT16' };

/** `weight` is multiplied, `table` looked up, `scale` multiplies each element, `shift` is added, `slope` is that of PRelu. */
type ParameterRole = 'weight' | 'table' | 'scale' | 'shift' | 'slope';

export interface FoundParameter {
  readonly name: string;
  /** The name of the node that reads it first, without a leading slash: where exporters rename what they fold, it tells the layer. */
  readonly place: string;
  readonly tensor: TensorProto;
  readonly role: ParameterRole;
  /** Products that are summed for one element of the result: He's fan-in. 1 where the role has none. */
  readonly fanIn: number;
}

export interface RunningStatistics {
  readonly node: NodeProto;
  readonly scale: string;
  readonly mean: TensorProto;
  readonly variance: TensorProto;
}

/** A weight that can't be trained as it is. */
export interface ForeignParameter {
  readonly name: string;
  readonly place: string;
  /** Its type by ONNX's name, or `quantized`. */
  readonly type: string;
}

interface Found {
  readonly parameters: readonly FoundParameter[];
  readonly foreign: readonly ForeignParameter[];
  readonly statistics: readonly RunningStatistics[];
}

const MOVES: ReadonlySet<string> = new Set([
  ...['Identity', 'Transpose', 'Reshape', 'Squeeze', 'Unsqueeze', 'Flatten', 'Expand', 'Cast', 'DequantizeLinear'],
]);
const ELEMENTWISE: Readonly<Record<string, ParameterRole>> = { Add: 'shift', Sub: 'shift', Mul: 'scale', Div: 'scale' };

/** Float parameters of the outer graph in the order of their first reader. */
export function findParameters(graph: GraphProto): Found {
  const initializers = new Map(graph.initializer.map((tensor) => [tensor.name ?? '', tensor]));
  const views: Views = new Map([...initializers].map(([name, { dims }]) => [name, { root: name, dims }]));
  const learned = new Set<string>();
  const makers = new Map<string, string>();
  const sources = new Map<string, readonly string[]>();
  const found = new Map<string, FoundParameter>();
  const foreign = new Map<string, ForeignParameter>();
  const statistics: RunningStatistics[] = [];
  let place = '';
  const take = (value: string | undefined, role: ParameterRole, fanIn = 1): void => {
    const { root, isQuantized } = views.get(value ?? '') ?? {};
    const tensor = initializers.get(root ?? '');
    if (root === undefined || tensor === undefined) {
      for (const source of sources.get(value ?? '') ?? []) take(source, role, fanIn);
      return;
    }
    if (found.has(root)) return;
    const type = isQuantized === true ? 'quantized' : REAL_NAMES[tensor.dataType ?? 0];
    if (type !== undefined) foreign.set(root, { name: root, place, type });
    else if (tensor.dataType === FLOAT) found.set(root, { name: root, place, tensor, role, fanIn });
  };
  for (const node of graph.node) {
    place = node.name?.replace(/^\//, '') ?? '';
    if (domainName(node.domain) === 'ai.onnx' || domainName(node.domain) === 'com.microsoft') {
      const view = views.get(node.input[0] ?? '');
      if (view !== undefined && MOVES.has(node.opType ?? '')) views.set(node.output[0] ?? '', moved(view, node));
      takeFrom(node, { take, views, learned, initializers, makers });
      if (node.opType === 'BatchNormalization') statistics.push(...statisticsOf(node, initializers));
    }
    const trained = node.input.some((name) => learned.has(name) || found.has(views.get(name)?.root ?? ''));
    if (trained && !views.has(node.output[0] ?? '')) node.output.forEach((name) => learned.add(name));
    const made = sourcesOf(node, initializers, sources);
    for (const name of node.output) {
      makers.set(name, node.opType ?? '');
      if (made !== undefined) sources.set(name, made);
    }
  }
  return { parameters: [...found.values()], foreign: [...foreign.values()], statistics };
}

/** Value -> the initializer whose elements it holds, and the dimensions in which it holds them. */
type Views = Map<string, View>;

interface View {
  readonly root: string;
  readonly dims: readonly number[];
  readonly isQuantized?: boolean;
  readonly isExpanded?: boolean;
}

/** Initializers of several elements that a node's results are computed from; undefined where they hang on anything else. */
function sourcesOf(
  { input }: NodeProto,
  initializers: ReadonlyMap<string, TensorProto>,
  sources: ReadonlyMap<string, readonly string[]>,
): readonly string[] | undefined {
  const behind = input.filter(Boolean).map((name) => {
    const tensor = initializers.get(name);
    if (tensor === undefined) return sources.get(name);
    return tensor.dataType === FLOAT && (elementCount(tensor.dims) ?? 0) > 1 ? [name] : [];
  });
  return behind.every((names) => names !== undefined) ? [...new Set(behind.flat())] : undefined;
}

/** Reshapes are not followed: their dimensions stay those before (only fan-ins are read from them). */
function moved(view: View, node: NodeProto): View {
  if (node.opType === 'DequantizeLinear') return { ...view, isQuantized: true };
  if (node.opType === 'Expand') return { ...view, isExpanded: true };
  if (node.opType !== 'Transpose') return view;
  const perm = node.attribute.find(({ name }) => name === 'perm')?.ints;
  if (perm === undefined) return { ...view, dims: view.dims.toReversed() };
  return { ...view, dims: Array.from(perm, (axis) => view.dims[Number(axis)] ?? 1) };
}

interface Taking {
  readonly take: (value: string | undefined, role: ParameterRole, fanIn?: number) => void;
  readonly views: ReadonlyMap<string, View>;
  readonly learned: ReadonlySet<string>;
  readonly initializers: ReadonlyMap<string, TensorProto>;
  /** Value -> the operator that makes it. */
  readonly makers: ReadonlyMap<string, string>;
}

function takeFrom(node: NodeProto, taking: Taking): void {
  const { take, views, learned } = taking;
  const [a, b, c] = node.input;
  const dims = (name: string | undefined): readonly number[] => views.get(name ?? '')?.dims ?? [];
  const product = (of: readonly number[]): number => of.reduce((x, y) => x * y, 1);
  const role = ELEMENTWISE[node.opType ?? ''];
  switch (node.opType) {
    case 'Conv':
    case 'ConvTranspose':
      take(b, 'weight', product(dims(b).slice(1)));
      take(c, 'shift');
      return;
    case 'Gemm': {
      const isTurned = node.attribute.find(({ name }) => name === 'transB')?.i === 1n;
      take(b, 'weight', dims(b)[isTurned ? 1 : 0]);
      take(c, 'shift');
      return;
    }
    case 'MatMul':
      take(b, 'weight', dims(b).at(-2) ?? dims(b)[0]);
      take(a, 'weight', dims(a).at(-1));
      return;
    case 'Gather':
      if (dims(a).length >= 2) take(a, 'table');
      return;
    case 'LSTM':
    case 'GRU':
    case 'RNN':
      take(b, 'weight', dims(b).at(-1));
      take(c, 'weight', dims(c).at(-1));
      take(node.input[3], 'shift');
      return;
    case 'PRelu':
      take(b, 'slope');
      return;
    case 'InstanceNormalization':
      if (isPlainGroup(node, taking)) return;
      take(b, 'scale');
      take(c, 'shift');
      return;
    case 'Concat':
      if (!node.input.some((name) => learned.has(name))) return;
      for (const name of node.input) if (isToken(name, taking)) take(name, 'table');
      return;
    case 'BatchNormalization':
    case 'LayerNormalization':
    case 'GroupNormalization':
      take(b, 'scale');
      take(c, 'shift');
      return;
    default:
      if (role === undefined) return;
      if (learned.has(a ?? '') && product(dims(b)) > 1) take(b, role);
      if (learned.has(b ?? '') && product(dims(a)) > 1) take(a, role);
  }
}

/** Groups laid out as channels, normalized and left alone: what scales and shifts comes behind. */
function isPlainGroup(node: NodeProto, { initializers, makers }: Taking): boolean {
  const [x = '', scale = '', shift = ''] = node.input;
  const holds = (name: string, value: number): boolean => {
    const tensor = initializers.get(name);
    return tensor?.dataType === FLOAT && floatsOf(tensor, name).every((element) => element === value);
  };
  return makers.get(x) === 'Reshape' && holds(scale, 1) && holds(shift, 0);
}

/** Learned, and not zeros that are laid beside: repeated for each sample, or no zeros. */
function isToken(name: string, { initializers, views }: Taking): boolean {
  const view = views.get(name);
  const tensor = initializers.get(view?.root ?? '');
  if (view === undefined || tensor?.dataType !== FLOAT) return false;
  return view.isExpanded === true || floatsOf(tensor, name).some((element) => element !== 0);
}

function statisticsOf(node: NodeProto, initializers: ReadonlyMap<string, TensorProto>): RunningStatistics[] {
  const [, scale = '', , meanName = '', varianceName = ''] = node.input;
  const [mean, variance] = [initializers.get(meanName), initializers.get(varianceName)];
  return mean === undefined || variance === undefined ? [] : [{ node, scale, mean, variance }];
}
