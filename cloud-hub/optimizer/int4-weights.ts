// Weight-only 4 bits: asymmetric blocks of 32 with packed zero points, about an eighth of the size. Rules: block-weights.ts.
import { toBlockWeights } from './block-weights.js';
import type { GraphPass } from './graph-pass.js';
import { quantizeBlocks4 } from './quantize-weights.js';

export const int4Weights: GraphPass = {
  variant: 'int4-weights',
  apply: (model) => toBlockWeights(model, { bits: 4, quantize: quantizeBlocks4 }),
};
