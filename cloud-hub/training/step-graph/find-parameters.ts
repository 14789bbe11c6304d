// What of a graph is a weight. ONNX does not say: a weight, the deviation that pixels are divided by and an attention's scale are
// all initializers. What counts:
//   1. weights of Conv, ConvTranspose, Gemm and MatMul, tables of Gather, scales and shifts of normalizations;
//   2. an operand of Add, Sub, Mul or Div with more than one element, where the other operand comes out of such an operator: a
//      bias after MatMul is trained, the mean that is taken off the picture is not;
//   3. through operators that only move elements (a Transpose or Identity between the initializer and its reader).
// Running statistics of BatchNormalization are no parameters (the gradient does not reach them): they come apart.
import { domainName } from '@tidegate/shared/onnx/inspect-model.js';
import type { GraphProto, NodeProto, TensorProto } from '@tidegate/shared/onnx/model-proto.js';

const FLOAT = 1;

/** `weight` is multiplied, `table` looked up, `scale` multiplies each element, `shift` is added. */
type ParameterRole = 'weight' | 'table' | 'scale' | 'shift';

export interface FoundParameter {
  readonly name: string;
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

interface Found {
  readonly parameters: readonly FoundParameter[];
  readonly statistics: readonly RunningStatistics[];
}

const MOVES: ReadonlySet<string> = new Set(['Identity', 'Transpose', 'Reshape', 'Squeeze', 'Unsqueeze', 'Flatten']);
const ELEMENTWISE: Readonly<Record<string, ParameterRole>> = { Add: 'shift', Sub: 'shift', Mul: 'scale', Div: 'scale' };

/** Float parameters of the outer graph in the order of their first reader. */
export function findParameters(graph: GraphProto): Found {
  const initializers = new Map(graph.initializer.map((tensor) => [tensor.name ?? '', tensor]));
  const views: Views = new Map([...initializers].map(([name, { dims }]) => [name, { root: name, dims }]));
  const learned = new Set<string>();
  const found = new Map<string, FoundParameter>();
  const statistics: RunningStatistics[] = [];
  const take = (value: string | undefined, role: ParameterRole, fanIn = 1): void => {
    const root = views.get(value ?? '')?.root;
    const tensor = initializers.get(root ?? '');
    if (root === undefined || tensor?.dataType !== FLOAT || found.has(root)) return;
    found.set(root, { name: root, tensor, role, fanIn });
  };
  for (const node of graph.node) {
    if (domainName(node.domain) === 'ai.onnx' || domainName(node.domain) === 'com.microsoft') {
      const view = views.get(node.input[0] ?? '');
      if (view !== undefined && MOVES.has(node.opType ?? '')) views.set(node.output[0] ?? '', moved(view, node));
      takeFrom(node, { take, views, learned });
      if (node.opType === 'BatchNormalization') statistics.push(...statisticsOf(node, initializers));
    }
    const trained = node.input.some((name) => learned.has(name) || found.has(views.get(name)?.root ?? ''));
    if (trained && !views.has(node.output[0] ?? '')) node.output.forEach((name) => learned.add(name));
  }
  return { parameters: [...found.values()], statistics };
}

/** Value -> the initializer whose elements it holds, and the dimensions in which it holds them. */
type Views = Map<string, View>;

interface View {
  readonly root: string;
  readonly dims: readonly number[];
}

/** Reshapes are not followed: their dimensions stay those before (only fan-ins are read from them). */
function moved(view: View, node: NodeProto): View {
  if (node.opType !== 'Transpose') return view;
  const perm = node.attribute.find(({ name }) => name === 'perm')?.ints;
  if (perm === undefined) return { ...view, dims: view.dims.toReversed() };
  return { ...view, dims: Array.from(perm, (axis) => view.dims[Number(axis)] ?? 1) };
}

interface Taking {
  readonly take: (value: string | undefined, role: ParameterRole, fanIn?: number) => void;
  readonly views: ReadonlyMap<string, View>;
  readonly learned: ReadonlySet<string>;
}

function takeFrom(node: NodeProto, { take, views, learned }: Taking): void {
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
    case 'BatchNormalization':
    case 'LayerNormalization':
      take(b, 'scale');
      take(c, 'shift');
      return;
    default:
      if (role === undefined) return;
      if (learned.has(a ?? '') && product(dims(b)) > 1) take(b, role);
      if (learned.has(b ?? '') && product(dims(a)) > 1) take(a, role);
  }
}

function statisticsOf(node: NodeProto, initializers: ReadonlyMap<string, TensorProto>): RunningStatistics[] {
  const [, scale = '', , meanName = '', varianceName = ''] = node.input;
  const [mean, variance] = [initializers.get(meanName), initializers.get(varianceName)];
  return mean === undefined || variance === undefined ? [] : [{ node, scale, mean, variance }];
}
