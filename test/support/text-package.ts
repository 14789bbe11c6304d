// A package that says what a sentence is about: text -> tokenise -> a graph with attention over the tokens -> a label. Its weights
// are made, not learnt: words of the fixture's vocabulary stand for a class. `masked: false` forgets the mask, so that padding
// changes the answer.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import { encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import type { NodeProto, TensorProto } from '@tidegate/shared/onnx/model-proto.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { bytesOf } from '@tidegate/shared/tensor/tensor.js';

const TOKENIZER = fileURLToPath(new URL('../fixtures/tokenizers/bert.json', import.meta.url));
const [FLOAT, INT64] = [1, 7];
const CLASSES: Readonly<Record<string, readonly string[]>> = {
  water: ['tide', 'wat'],
  machine: ['device', 'devic'],
  animal: ['laz', 'over'],
};

interface TextPackageOptions {
  readonly masked?: boolean;
  /** Numbers that stand for a token. */
  readonly width?: number;
  /** Lines of model.yaml under the graph's node. */
  readonly node?: string;
  /** Goldens; none when empty. */
  readonly texts?: readonly (readonly [string, string])[];
}

const RAGGED = `ragged:
      inputs: [{name: input_ids, axis: 1}, {name: attention_mask, axis: 1}]
      outputs: [{name: tokens, axis: 1}]`;
const TEXTS = [
  ['the tide', 'water'],
  ['the device can do it, they say', 'machine'],
  ['the quick brown fox jumps over the lazy dog, over and over', 'animal'],
] as const;

/** Writes the package into `folder`, which it returns. */
export function writeTextPackage(
  folder: string,
  { masked = true, width = 16, node = RAGGED, texts = TEXTS }: TextPackageOptions = {},
): string {
  mkdirSync(folder, { recursive: true });
  copyFileSync(TOKENIZER, join(folder, 'tokenizer.json'));
  writeFileSync(join(folder, 'labels.txt'), `${Object.keys(CLASSES).join('\n')}\n`);
  writeFileSync(join(folder, 'text.onnx'), Buffer.concat([...textGraph(masked, width)]));
  const goldens = texts.map(([text, expected], at) => ({
    id: `${at}`,
    inputs: { text: { datatype: 'BYTES', shape: [1], data: [text] } },
    expected,
  }));
  writeFileSync(join(folder, 'goldens.json'), JSON.stringify(goldens));
  writeFileSync(
    join(folder, 'model.yaml'),
    `name: topics
licence: Apache-2.0
inputs: [{name: text, datatype: BYTES, shape: [-1]}]
outputs:
  - {name: label, datatype: BYTES, shape: [-1]}
  - {name: confidence, datatype: FP32, shape: [-1]}
pipeline:
  - {step: tokenise, inputs: [text], outputs: [input_ids, attention_mask], with: {file: tokenizer.json, maxLength: 128}}
  - graph: text.onnx
    ${node}
  - {step: classify, inputs: [logits], outputs: [label, confidence], with: {labels: labels.txt}}
confidence: {output: confidence, threshold: 0.4}
${texts.length === 0 ? '' : 'goldens: {file: goldens.json, output: label, metric: exact, threshold: 1}\n'}cache: {enabled: false}
`,
  );
  return folder;
}

function textGraph(masked: boolean, width: number): Iterable<Uint8Array> {
  const { model } = JSON.parse(readFileSync(TOKENIZER, 'utf8')) as { model: { vocab: Record<string, number> } };
  const classes = Object.keys(CLASSES);
  const words = Object.keys(model.vocab).length;
  const embedding = numbers(words * width, 3).map((value) => value / 4);
  Object.values(CLASSES).forEach((members, at) => {
    for (const word of members) embedding[(model.vocab[word] ?? 0) * width + at] = 6;
  });
  const head = new Float32Array(width * classes.length);
  classes.forEach((_, at) => (head[at * classes.length + at] = 4));
  const floats = (name: string, dims: number[], values: Float32Array): TensorProto =>
    makeTensor(name, FLOAT, dims, bytesOf(values));
  const initializers = [
    floats('embedding', [words, width], embedding),
    floats('query', [width, width], numbers(width * width, 5)),
    floats('key', [width, width], numbers(width * width, 7)),
    floats('head', [width, classes.length], head),
    floats('far', [1], Float32Array.of(-10_000)),
    floats('one', [1], Float32Array.of(1)),
    makeTensor('rows', INT64, [1], bytesOf(BigInt64Array.of(1n))),
    makeTensor('last', INT64, [1], bytesOf(BigInt64Array.of(2n))),
  ];
  const attended = masked ? 'biased' : 'scores';
  const nodes: NodeProto[] = [
    makeNode('Gather', ['embedding', 'input_ids'], ['words']),
    makeNode('Cast', ['attention_mask'], ['mask'], { attributes: { to: BigInt(FLOAT) } }),
    makeNode('MatMul', ['words', 'query'], ['queries']),
    makeNode('MatMul', ['words', 'key'], ['keys']),
    makeNode('Transpose', ['keys'], ['turned'], { attributes: { perm: [0n, 2n, 1n] } }),
    makeNode('MatMul', ['queries', 'turned'], ['scores']),
    makeNode('Sub', ['one', 'mask'], ['absent']),
    makeNode('Mul', ['absent', 'far'], ['penalty']),
    makeNode('Unsqueeze', ['penalty', 'rows'], ['penalties']),
    makeNode('Add', ['scores', 'penalties'], ['biased']),
    makeNode('Softmax', [attended], ['attention'], { attributes: { axis: -1n } }),
    makeNode('MatMul', ['attention', 'words'], ['context']),
    makeNode('Add', ['words', 'context'], ['tokens']),
    ...(masked
      ? maskedMean()
      : [makeNode('ReduceMean', ['tokens'], ['mean'], { attributes: { axes: [1n], keepdims: 0n } })]),
    makeNode('MatMul', ['mean', 'head'], ['logits']),
  ];
  const inputs = ['input_ids', 'attention_mask'].map((name) => makeValue(name, INT64, ['n', 'l']));
  const outputs = [makeValue('logits', FLOAT, ['n', classes.length]), makeValue('tokens', FLOAT, ['n', 'l', width])];
  return encodeModel(makeModel(makeGraph(nodes, inputs, outputs, initializers), { '': 17 }));
}

function maskedMean(): NodeProto[] {
  return [
    makeNode('Unsqueeze', ['mask', 'last'], ['wide']),
    makeNode('Mul', ['tokens', 'wide'], ['present']),
    makeNode('ReduceSum', ['present', 'rows'], ['sum'], { attributes: { keepdims: 0n } }),
    makeNode('ReduceSum', ['mask', 'rows'], ['count'], { attributes: { keepdims: 1n } }),
    makeNode('Div', ['sum', 'count'], ['mean']),
  ];
}

/** Numbers between -1 and 1, the same for the same seed. */
function numbers(count: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}
