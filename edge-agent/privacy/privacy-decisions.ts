// Asks may-leave.ts with the policies as they stand at this moment, and logs each decision with its rule: all of them at level
// debug; at level info only the first of a model and kind and each change, so that a card that logs are kept on isn't worn by
// requests. Names that only a caller made up share one entry: they fill neither memory nor log.
import type { Log } from '@tidegate/shared/system/log.js';
import type { Privacy } from '@tidegate/shared/wire/privacy.js';
import { mayLeave, type MayLeave, type PolicyView, type PrivacyKind } from './may-leave.js';

interface PrivacyModules {
  /** Policy of the version that answers now under this name. */
  readonly served: (model: string) => Privacy | undefined;
  /** Policy of the version that should be on the device, installed or not. */
  readonly desired: (model: string) => Privacy | undefined;
  readonly log: Log;
}

/** More than a device's models times the kinds; beyond it the oldest is told anew. */
const LIMIT_TOLD = 2048;

export class PrivacyDecisions {
  readonly #modules: PrivacyModules;
  /** Rule that was last logged at level info, by model and kind. */
  readonly #told = new Map<string, string>();

  constructor(modules: PrivacyModules) {
    this.#modules = modules;
  }

  /** `answered`: the policy of the version that gave the answer in question, where another may be active by now. */
  ask(model: string, kind: PrivacyKind, answered?: Privacy): MayLeave {
    const { served, desired, log } = this.#modules;
    const view: PolicyView = { served: answered ?? served(model), desired: desired(model) };
    const decision = mayLeave(kind, view);
    const { allowed, rule } = decision;
    log.debug({ model, kind, allowed, rule }, 'privacy decision');
    const known = view.served !== undefined || view.desired !== undefined;
    const key = `${kind} ${known ? model : ''}`;
    if (this.#told.get(key) === rule) return decision;
    this.#tell(key, rule);
    log.info({ ...(known && { model }), kind, allowed, rule }, 'privacy decision, new or changed');
    return decision;
  }

  #tell(key: string, rule: string): void {
    this.#told.delete(key);
    this.#told.set(key, rule);
    if (this.#told.size <= LIMIT_TOLD) return;
    const oldest = this.#told.keys().next();
    if (!oldest.done) this.#told.delete(oldest.value);
  }
}
