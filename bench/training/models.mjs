// The three networks of P8, as ONNX graphs with random weights; torch_step.py has the same ones in PyTorch's own layers.
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { randomParameters } from '../../cloud-hub/dist/training/step-graph/put-back.js';

const size = (dims) => dims.reduce((a, b) => a * b, 1);

/** Appends layers one behind the other; the last value's name is `at`. */
class Layers {
  nodes = [];
  weights = [];
  at = 'x';

  weight(name, dims) {
    this.weights.push(makeTensor(name, 1, dims, new Uint8Array(4 * size(dims))));
    return name;
  }

  node(op, inputs, attributes = {}, from = this.at) {
    const output = `v${this.nodes.length}`;
    this.nodes.push(makeNode(op, [from, ...inputs], [output], { attributes }));
    this.at = output;
    return output;
  }

  linear(name, inputs, outputs) {
    const weights = [this.weight(`${name}.weight`, [outputs, inputs]), this.weight(`${name}.bias`, [outputs])];
    return this.node('Gemm', weights, { transB: 1n });
  }

  conv(name, dims, { stride = 1, pad = 0, bias = true, from = this.at } = {}) {
    const weights = [this.weight(`${name}.weight`, dims), ...(bias ? [this.weight(`${name}.bias`, [dims[0]])] : [])];
    const attributes = { kernel_shape: dims.slice(2).map(BigInt), strides: [stride, stride].map(BigInt) };
    return this.node('Conv', weights, { ...attributes, pads: Array(4).fill(BigInt(pad)) }, from);
  }

  batchNorm(name, channels) {
    const parts = ['scale', 'shift', 'mean', 'variance'].map((part) => this.weight(`${name}.${part}`, [channels]));
    return this.node('BatchNormalization', parts);
  }

  relu = () => this.node('Relu', []);
  maxPool = () => this.node('MaxPool', [], { kernel_shape: [2n, 2n], strides: [2n, 2n] });
  flatten = () => this.node('Flatten', []);
}

function mlp(l) {
  l.linear('fc1', 784, 512);
  l.relu();
  l.linear('fc2', 512, 256);
  l.relu();
  l.linear('fc3', 256, 10);
}

function lenet(l) {
  l.conv('conv1', [6, 1, 5, 5], { pad: 2 });
  l.relu();
  l.maxPool();
  l.conv('conv2', [16, 6, 5, 5]);
  l.relu();
  l.maxPool();
  l.flatten();
  l.linear('fc1', 400, 120);
  l.relu();
  l.linear('fc2', 120, 84);
  l.relu();
  l.linear('fc3', 84, 10);
}

function residualBlock(l, name, from, to, stride) {
  const input = l.at;
  l.conv(`${name}.conv1`, [to, from, 3, 3], { stride, pad: 1, bias: false });
  l.batchNorm(`${name}.bn1`, to);
  l.relu();
  l.conv(`${name}.conv2`, [to, to, 3, 3], { pad: 1, bias: false });
  const long = l.batchNorm(`${name}.bn2`, to);
  let short = input;
  if (stride !== 1 || from !== to) {
    l.conv(`${name}.short`, [to, from, 1, 1], { stride, bias: false, from: input });
    short = l.batchNorm(`${name}.bn3`, to);
  }
  l.node('Add', [short], {}, long);
  l.relu();
}

/** He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2, with n = 1 and projections. */
function resnet8(l) {
  l.conv('conv1', [16, 3, 3, 3], { pad: 1, bias: false });
  l.batchNorm('bn1', 16);
  l.relu();
  residualBlock(l, 'block1', 16, 16, 1);
  residualBlock(l, 'block2', 16, 32, 2);
  residualBlock(l, 'block3', 32, 64, 2);
  l.node('GlobalAveragePool', []);
  l.flatten();
  l.linear('fc', 64, 10);
}

/** What `x` is without the batch; `build` appends the layers. */
export const TRAINING_MODELS = [
  { name: 'mlp', about: 'MLP 784-512-256-10, batch 64', batch: 64, sample: [784], build: mlp },
  { name: 'lenet', about: 'LeNet, 28 x 28, batch 64', batch: 64, sample: [1, 28, 28], build: lenet },
  { name: 'resnet8', about: 'ResNet-8, 32 x 32, batch 32', batch: 32, sample: [3, 32, 32], build: resnet8 },
];

export function trainingModel({ sample, build }) {
  const layers = new Layers();
  build(layers);
  const nodes = layers.nodes.map((node) => (node.output[0] === layers.at ? { ...node, output: ['scores'] } : node));
  const inputs = [makeValue('x', 1, ['batch', ...sample])];
  const graph = makeGraph(nodes, inputs, [makeValue('scores', 1, ['batch', 10])], layers.weights);
  return randomParameters(makeModel(graph, { '': 20 }), 1);
}
