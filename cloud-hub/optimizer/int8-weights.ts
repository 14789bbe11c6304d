// Weight-only 8 bits: symmetric blocks of 32, a quarter of the size, hardly any loss. Rules: block-weights.ts.
import { toBlockWeights } from './block-weights.js';
import type { GraphPass } from './graph-pass.js';
import { quantizeBlocks8 } from './quantize-weights.js';

export const int8Weights: GraphPass = {
  variant: 'int8-weights',
  apply: (model) => toBlockWeights(model, { bits: 8, quantize: quantizeBlocks8 }),
};
