// The loss behind a graph's output. Cross-entropy takes scores [N, C] and classes INT64 [N]: a softmax at the graph's end is left
// out, since the loss contains it. Mean squared error takes predictions and targets FP32 of as many elements.
import type { GraphProto, ValueInfo } from '@tidegate/shared/onnx/model-proto.js';
import { makeValue } from '@tidegate/shared/onnx/make-node.js';
import { FLOAT, INT64, type StepNodes } from './step-nodes.js';
import { StepGraphError } from './step-graph-error.js';

type LossName = 'cross-entropy' | 'mse';

const LABELS = 'step/labels';

export interface Loss {
  /** FLOAT scalar: the mean over the batch. */
  readonly loss: string;
  readonly labels: string;
  readonly labelsInput: ValueInfo;
  /** INT64 scalar: right answers in the batch; only of cross-entropy. */
  readonly right: string | undefined;
}

/** The value that the loss takes: of the output named, or of the only one. Throws StepGraphError `bad-output`. */
export function lossInput(graph: GraphProto, output: string | undefined, loss: LossName): string {
  const names = graph.output.map(({ name }) => name ?? '');
  if (output === undefined && names.length !== 1) {
    throw new StepGraphError('bad-output', `the graph has ${names.length} outputs (${names.join(', ')}); name one`);
  }
  const name = output ?? names[0] ?? '';
  if (!names.includes(name)) {
    throw new StepGraphError('bad-output', `the graph has no output ${name}; it has ${names.join(', ')}`);
  }
  const maker = graph.node.find(({ output: made }) => made.includes(name));
  return loss === 'cross-entropy' && maker?.opType === 'Softmax' ? (maker.input[0] ?? name) : name;
}

export function appendLoss(n: StepNodes, value: string, loss: LossName): Loss {
  if (loss === 'mse') {
    const labelsInput = makeValue(LABELS, FLOAT, ['step/rows', 'step/width']);
    const error = n.op('Sub', [n.op('Reshape', [value, n.op('Shape', [LABELS])]), LABELS]);
    const mean = n.op('ReduceMean', [n.op('Mul', [error, error])], { keepdims: 0n }, 'step/loss');
    return { loss: mean, labels: LABELS, labelsInput, right: undefined };
  }
  const labelsInput = makeValue(LABELS, INT64, ['step/rows']);
  const mean = n.op('SoftmaxCrossEntropyLoss', [value, LABELS], { reduction: 'mean' }, 'step/loss');
  const answers = n.op('ArgMax', [value], { axis: 1n, keepdims: 0n });
  const equal = n.cast(n.op('Equal', [answers, LABELS]), INT64);
  const right = n.op('ReduceSum', [equal], { keepdims: 0n }, 'step/right');
  return { loss: mean, labels: LABELS, labelsInput, right };
}
