// Composes a device's desired state from what its group should run and what rollouts assigned to it. Pure: the service
// gathers, this decides, and a new version is made only where the content changed.
import type { DesiredModel, DesiredState } from '@tidegate/shared/wire/desired-state.js';

export interface Target {
  readonly model: string;
  readonly version: number;
  readonly probationMs: number;
  readonly rolloutId?: string;
}

/** A rollout's assignment goes before the group's target of the same model. Sorted by model name. */
export function effectiveTargets(group: readonly Target[], device: readonly Target[]): Target[] {
  const byModel = new Map<string, Target>();
  for (const target of [...group, ...device]) byModel.set(target.model, target);
  return [...byModel.values()].sort((a, b) => (a.model < b.model ? -1 : 1));
}

/** The next document, or undefined where nothing changed. Its version is one more than the current. */
export function nextDesired(
  current: DesiredState,
  models: readonly DesiredModel[],
  config: DesiredState['config'],
): DesiredState | undefined {
  const same =
    JSON.stringify({ models: current.models, config: current.config }) === JSON.stringify({ models, config });
  if (same) return undefined;
  return { deviceId: current.deviceId, version: current.version + 1, models: [...models], config };
}
