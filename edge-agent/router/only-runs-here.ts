// Is it sure, before a request's body is read, that only a run on this device can answer it? Pure. Then what speaks against the run
// speaks against the request, and it can be refused at its head. It is not sure where an answer may be kept, come from a similar
// input, be the hub's, or belong to a sequence.
import type { InferRequest } from '@tidegate/shared/serving/inference-service.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';

type Head = Pick<InferRequest, 'placement' | 'cache' | 'sequence'>;
type Model = Pick<ServedModel, 'yaml' | 'deterministic' | 'stateful' | 'cuts'>;

export interface OnlyRunsView {
  readonly inMemory: boolean;
  /** The cache stands aside for this model. */
  readonly aside: boolean;
  /** The hub may be asked where the device can't answer (place.ts, rescue). */
  readonly hubMayAnswer: boolean;
}

export function onlyRunsHere({ placement, cache, sequence }: Head, model: Model, view: OnlyRunsView): boolean {
  if (!view.inMemory || view.hubMayAnswer || placement === 'hub' || placement === 'split') return false;
  if (model.stateful || sequence !== undefined || model.cuts.length > 0) return false;
  if (model.yaml.cache.semantic !== undefined) return false;
  const mayBeKept = model.yaml.cache.enabled && model.deterministic && cache !== 'bypass';
  return !mayBeKept || view.aside;
}
