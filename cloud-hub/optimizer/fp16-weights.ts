// Weights stored as FP16 and cast back to FP32 when the model is loaded: half the size on disk and on the link. ONNX Runtime
// folds the casts while it loads, so speed and memory stay those of FP32.
//   1. Every constant FP32 tensor of at least 256 elements, initializer or Constant node, whose values all fit FP16; one that
//      doesn't fit stays as it is. Small ones (scales, axes, epsilons) would save nothing.
//   2. The value keeps its name: it is now made by a Cast from the stored tensor, at the graph's beginning.
// Refuses when no tensor is found.
import { makeNode } from '@tidegate/shared/onnx/make-node.js';
import type { ModelProto, TensorProto } from '@tidegate/shared/onnx/model-proto.js';
import { floatsOf, makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { elementCount } from '@tidegate/shared/tensor/tensor.js';
import { FLOAT16_MAX, float16Bits } from './float16.js';
import { GraphEdit } from './graph-edit.js';
import { notApplicable, type GraphPass, type PassResult } from './graph-pass.js';

const FLOAT = 1;
const FLOAT16 = 10;
const LEAST_ELEMENTS = 256;

export const fp16Weights: GraphPass = {
  variant: 'fp16-weights',
  apply: (model: ModelProto): PassResult => {
    const edit = new GraphEdit(model);
    let stored = 0;
    let beyond = 0;
    for (const [name, tensor] of edit.constants) {
      if (tensor.dataType !== FLOAT || (elementCount(tensor.dims) ?? 0) < LEAST_ELEMENTS) continue;
      const halves = toHalves(tensor, name);
      if (halves === undefined) {
        beyond += 1;
        continue;
      }
      const half = edit.freshName(`${name}_fp16`);
      edit.addInitializer(makeTensor(half, FLOAT16, tensor.dims, halves));
      const cast = { name: edit.freshName(`${name}_cast`), attributes: { to: BigInt(FLOAT) } };
      edit.replaceConstant(name, makeNode('Cast', [half], [name], cast));
      stored += 1;
    }
    const left = beyond === 0 ? '' : `, ${beyond} beyond its range`;
    if (stored === 0)
      return notApplicable(`no FP32 weights of ${LEAST_ELEMENTS} elements or more that fit FP16${left}`);
    return { outcome: 'changed', model: edit.finish(), summary: `${stored} tensors${left}` };
  },
};

function toHalves(tensor: TensorProto, name: string): Uint8Array | undefined {
  const values = floatsOf(tensor, `weights ${name}`);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i += 1) {
    const value = values[i] ?? 0;
    if (!(Math.abs(value) <= FLOAT16_MAX)) return undefined;
    halves[i] = float16Bits(value);
  }
  return new Uint8Array(halves.buffer);
}
