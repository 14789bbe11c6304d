// The contract of a graph pass: one model in, another model out, or a reason why not. A pass is pure and never changes its
// input; what it doesn't touch is shared between the two models (weights are views of the file). Each pass stands in its own
// file with its rules numbered. Whether the result is any good is not for the pass to say: choose-variant.ts measures.
import type { ModelProto } from '@tidegate/shared/onnx/model-proto.js';

export type PassResult =
  | {
      readonly outcome: 'changed';
      readonly model: ModelProto;
      /** `3 of 4 MatMul and Gemm, 1 smaller than 1024 weights`. */
      readonly summary: string;
    }
  | { readonly outcome: 'not-applicable'; readonly reason: string };

export interface GraphPass {
  /** Name of the variant that it makes. */
  readonly variant: string;
  apply(model: ModelProto): PassResult;
}

export function notApplicable(reason: string): PassResult {
  return { outcome: 'not-applicable', reason };
}
