// May something of a model leave this device? The one decision, for inputs that the hub would answer (fallback), for samples to
// learn from (capture), for figures of its answers (telemetry) and for answers that devices share (answers): pure. The version that answers and the one that is to come may
// differ while a version is being replaced; the stricter of both counts. Where neither says anything, what a package that says
// nothing allows holds. No caller and no setting can allow what this forbids.
import { privacySchema, type Privacy } from '@tidegate/shared/wire/privacy.js';

export type PrivacyKind = keyof Privacy;

export interface PolicyView {
  /** Of the version that answered, or that answers now; undefined where none is on the device. */
  readonly served: Privacy | undefined;
  /** Of the version that the hub desires here; undefined where it desires none, or did not say. */
  readonly desired: Privacy | undefined;
}

export interface MayLeave {
  readonly allowed: boolean;
  /** For logs and answers: `privacy.capture: none (served version)`. */
  readonly rule: string;
}

const ALLOWING = { fallback: 'hub', capture: 'hub', telemetry: 'figures', answers: 'hub' } as const satisfies Privacy;
const SAID_NOTHING: Privacy = privacySchema.parse({});

export function mayLeave(kind: PrivacyKind, { served, desired }: PolicyView): MayLeave {
  if (served !== undefined && !allows(served, kind)) return decision(served, kind, 'served version');
  if (desired !== undefined && !allows(desired, kind)) return decision(desired, kind, 'desired version');
  if (served !== undefined) {
    return decision(served, kind, desired === undefined ? 'served version' : 'served and desired version');
  }
  if (desired !== undefined) return decision(desired, kind, 'desired version');
  return decision(SAID_NOTHING, kind, 'no version known');
}

function allows(policy: Privacy, kind: PrivacyKind): boolean {
  return policy[kind] === ALLOWING[kind];
}

function decision(policy: Privacy, kind: PrivacyKind, whose: string): MayLeave {
  return { allowed: allows(policy, kind), rule: `privacy.${kind}: ${policy[kind]} (${whose})` };
}
