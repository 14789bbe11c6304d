// A graph of operator set 9 or 10 as one of 11, with the very same results: ONNX Runtime's WebGPU provider has no Clip of an older set, so
// all of them would run on the CPU, and everything would cross for each of them. Between those sets Clip and Slice moved attributes to
// inputs; the other operators of these graphs compute what they did (ONNX, Changelog.md). What is not known here is refused by name.
import { decodeModel, encodeModel } from '../../shared/dist/onnx/model-codec.js';
import { makeTensor } from '../../shared/dist/onnx/tensor-data.js';

const OPERATOR_SET = 11;
const FLOAT = 1;
const INT64 = 7;
const UNCHANGED = new Set(
  (
    'Add AveragePool BatchNormalization Cast Concat Constant Conv Div GlobalAveragePool HardSigmoid MatMul MaxPool Mul Pow ' +
    'ReduceMean Relu Reshape Shape Sigmoid Softmax Sqrt Squeeze Sub Transpose'
  ).split(' '),
);
const CLIP_DEFAULTS = { min: -3.4028234663852886e38, max: 3.4028234663852886e38 };

/** The bytes of an .onnx file -> those of the raised one; what is of set 11 or newer comes back as it is. Throws for what it doesn't know. */
export function raiseOperatorSet(bytes) {
  const model = decodeModel(bytes);
  const [set, ...others] = model.opsetImport;
  if (others.length > 0 || (set?.domain ?? '') !== '') throw new Error('has operators of another domain');
  if (set.version >= OPERATOR_SET) return bytes;
  if (set.version < 9) throw new Error(`is of operator set ${set.version}; 9 is the oldest that is raised`);
  const initializer = [...model.graph.initializer];
  const node = model.graph.node.map((one) => raised(one, initializer));
  const opsetImport = [{ ...set, version: OPERATOR_SET }];
  return Buffer.concat(encodeModel({ ...model, opsetImport, graph: { ...model.graph, node, initializer } }));
}

function raised(node, initializer) {
  const { opType, output, attribute } = node;
  const valueOf = (name) => attribute.find((one) => one.name === name);
  const input = (name, type, dims, data) => {
    const tensor = makeTensor(`${output[0]}/${name}`, type, dims, new Uint8Array(data.buffer));
    initializer.push(tensor);
    return tensor.name;
  };
  if (opType === 'Clip' && node.input.length === 1) {
    const bounds = ['min', 'max'].map((name) =>
      input(name, FLOAT, [], Float32Array.of(valueOf(name)?.f ?? CLIP_DEFAULTS[name])),
    );
    return { ...node, input: [node.input[0], ...bounds], attribute: [] };
  }
  if (opType === 'Slice' && node.input.length === 1) {
    const [starts, ends] = ['starts', 'ends'].map((name) => valueOf(name).ints);
    const axes = valueOf('axes')?.ints ?? BigInt64Array.from(starts, (_, at) => BigInt(at));
    const given = Object.entries({ starts, ends, axes });
    const inputs = given.map(([name, ints]) => input(name, INT64, [ints.length], BigInt64Array.from(ints)));
    return { ...node, input: [node.input[0], ...inputs], attribute: [] };
  }
  if (!UNCHANGED.has(opType)) throw new Error(`has ${opType}, of which it is not known whether it changed`);
  return node;
}
