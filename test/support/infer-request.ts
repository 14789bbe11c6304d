// A request as fronts make it, with what a test doesn't care about left as a client leaves it.
import type { InferRequest } from '@tidegate/shared/serving/inference-service.js';
import { tensor } from '@tidegate/shared/tensor/tensor.js';

/** To model `m`, one byte in, for no deadline: `part` says otherwise. */
export function inferRequest(part: Partial<InferRequest> = {}): InferRequest {
  return {
    model: 'm',
    version: undefined,
    id: undefined,
    inputs: [tensor('x', 'UINT8', [1], Uint8Array.of(7))],
    outputs: [],
    deadlineMs: Infinity,
    priority: 0,
    placement: 'auto',
    cache: 'use',
    maxStalenessMs: undefined,
    parameters: {},
    ...part,
  };
}
