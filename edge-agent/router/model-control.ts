// Who puts models into service and takes them out (Triton's model repository extension). On a device that a hub looks after
// nobody on the device does: what runs is what was rolled out.
import type { ModelState } from '@tidegate/shared/serving/inference-service.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import type { Privacy } from '@tidegate/shared/wire/privacy.js';

/** The reason of one that somebody took out of service. */
export const UNLOADED = 'unloaded';

export interface ModelControl {
  /** Reads the model's files again and serves them. Rejects with ServingError; what was served then still is. */
  load(model: string, signal: AbortSignal): Promise<void>;
  /** Takes it out of service once its requests have ended. Rejects with ServingError. */
  unload(model: string): Promise<void>;
  /** Models that could be loaded and are not in service. */
  unloaded(): readonly ModelState[];
  /** Why a model that should be in service is not; undefined where it is, where somebody took it out, and of one that is unknown. */
  whyAbsent(model: string, version: string | undefined): string | undefined;
  /** What the package of a model says that is known here, in service or not. */
  privacyOf(model: string): Privacy | undefined;
}

const hubDecides = (): Promise<never> => {
  const text = 'the hub decides which models this device runs: start a rollout there';
  return Promise.reject(new ServingError('forbidden', text, { field: 'model' }));
};

export const HUB_DECIDES: ModelControl = {
  load: hubDecides,
  unload: hubDecides,
  unloaded: () => [],
  whyAbsent: () => undefined,
  privacyOf: () => undefined,
};
