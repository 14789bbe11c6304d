// A graph over 4 MiB with a layer of each kind whose weights the engine rearranges for its kernels.
import { writeFile } from 'node:fs/promises';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import { encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import type { TensorProto } from '@tidegate/shared/onnx/model-proto.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { bytesOf, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';

const WIDTH = 1024;
const FLOAT = 1;
const UINT8 = 2;

/** Numbers between -1 and 1, the same for the same seed. */
function numbers(count: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

const floats = (name: string, dims: number[], seed: number): TensorProto =>
  makeTensor(
    name,
    FLOAT,
    dims,
    bytesOf(
      numbers(
        dims.reduce((a, b) => a * b, 1),
        seed,
      ),
    ),
  );
const bytes = (name: string, dims: number[], seed: number): TensorProto =>
  makeTensor(
    name,
    UINT8,
    dims,
    Uint8Array.from(
      numbers(
        dims.reduce((a, b) => a * b, 1),
        seed,
      ),
      (v) => 128 + 127 * v,
    ),
  );

/** x FP32 [-1, 1024] -> a row of each layer. */
export async function writeWeightyModel(path: string): Promise<void> {
  const nodes = [
    makeNode('MatMul', ['x', 'w'], ['m']),
    makeNode('Relu', ['m'], ['plain']),
    makeNode('Gemm', ['x', 'wt', 'b'], ['gemm'], { attributes: { transB: 1n } }),
    makeNode('Reshape', ['x', 'square'], ['picture']),
    makeNode('Conv', ['picture', 'k', 'kb'], ['c'], { attributes: { pads: [1n, 1n, 1n, 1n] } }),
    makeNode('Relu', ['c'], ['convolved']),
    makeNode('DynamicQuantizeLinear', ['x'], ['q', 'qs', 'qz']),
    makeNode('MatMulInteger', ['q', 'wq', 'qz', 'wqz'], ['sums']),
    makeNode('Cast', ['sums'], ['quantized'], { attributes: { to: 1n } }),
    makeNode('MatMulNBits', ['x', 'w4', 's4'], ['blocks'], {
      domain: 'com.microsoft',
      attributes: { K: 1024n, N: 64n, bits: 4n, block_size: 32n, accuracy_level: 4n },
    }),
    makeNode('LayerNormalization', ['x', 'g', 'g'], ['normal']),
  ];
  const initializer = [
    floats('w', [WIDTH, WIDTH], 1),
    floats('wt', [128, WIDTH], 2),
    floats('b', [128], 3),
    makeTensor('square', 7, [4], bytesOf(BigInt64Array.of(-1n, 16n, 8n, 8n))),
    floats('k', [32, 16, 3, 3], 4),
    floats('kb', [32], 5),
    bytes('wq', [WIDTH, 128], 6),
    makeTensor('wqz', UINT8, [], Uint8Array.of(128)),
    bytes('w4', [64, 32, 16], 7),
    floats('s4', [64 * 32], 8),
    floats('g', [WIDTH], 9),
  ];
  const outputs = ['plain', 'gemm', 'convolved', 'quantized', 'blocks', 'normal'];
  const value = (name: string): ReturnType<typeof makeValue> => makeValue(name, FLOAT, ['n', 'm']);
  const convolved = makeValue('convolved', FLOAT, ['n', 32, 8, 8]);
  const ends = outputs.map((name) => (name === 'convolved' ? convolved : value(name)));
  const graph = makeGraph(nodes, [makeValue('x', FLOAT, ['n', WIDTH])], ends, initializer);
  await writeFile(path, encodeModel(makeModel(graph, { '': 17, 'com.microsoft': 1 })));
}

export const weightyFeeds = (rows: number): NamedTensor[] => [
  tensor('x', 'FP32', [rows, WIDTH], bytesOf(numbers(rows * WIDTH, 10))),
];
