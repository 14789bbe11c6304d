// The document that tells the hub what this device does run: pure, from what is persisted and what is loaded. `running` is
// what the slots answer with, never what was merely installed; a version that was rolled back shows as rolled back for as
// long as the hub still asks for it (field lesson B13).
import type { ProviderInUse } from '@tidegate/shared/serving/provider-in-use.js';
import type { DesiredModel, DesiredState } from '@tidegate/shared/wire/desired-state.js';
import type { DeviceClass } from '@tidegate/shared/wire/device-class.js';
import {
  DOING_MAX,
  PROVIDER_REASON_MAX,
  type ReportedModel,
  type ReportedState,
} from '@tidegate/shared/wire/reported-state.js';
import type { ModelSlots } from '../engine/model-slots.js';
import type { ActivationRecord, ActiveVersion } from '../state/activations.js';
import { sameActivation } from './plan.js';

interface ReportInput {
  readonly deviceId: string;
  readonly bootId: string;
  readonly agentVersion: string;
  readonly deviceClass: DeviceClass;
  readonly desired: DesiredState | undefined;
  readonly active: ReadonlyMap<string, ActiveVersion>;
  readonly records: readonly ActivationRecord[];
  readonly slots: Pick<ModelSlots, 'active'>;
  readonly progress:
    { readonly target: DesiredModel; readonly share: number; readonly doing?: string | undefined } | undefined;
  /** The passing trouble that a model's activation waits for, where there is one. */
  readonly trouble: (model: string) => Error | undefined;
}

/** The others take no time worth a report. */
const STEPS_WITH_PROGRESS: ReadonlySet<string> = new Set(['download', 'load', 'warm-up', 'self-test']);

/** Everything but `seq`: two equal ones need no second report. */
export function buildReport(input: ReportInput): Omit<ReportedState, 'seq'> {
  const { deviceId, bootId, agentVersion, deviceClass, desired, active } = input;
  const wanted = new Map(desired?.models.map((model) => [model.name, model]));
  const names = [...new Set([...wanted.keys(), ...active.keys()])].sort();
  return {
    deviceId,
    bootId,
    agentVersion,
    deviceClass,
    desiredVersion: desired?.version ?? 0,
    models: names.map((name) => reportModel(name, wanted.get(name), input)),
  };
}

function reportModel(name: string, want: DesiredModel | undefined, input: ReportInput): ReportedModel {
  const active = input.active.get(name);
  const loaded = input.slots.active(name);
  const answers = active !== undefined && loaded?.source.variantDigest === active.running.variantDigest;
  const running = answers
    ? {
        version: active.running.version,
        versionDigest: active.running.versionDigest,
        variant: active.running.variant,
        variantDigest: active.running.variantDigest,
        ...reportProvider(loaded.provider),
        ...(loaded.threads !== undefined && { threads: loaded.threads.threads }),
        since: Math.max(0, Math.floor(active.sinceMs)),
        committed: active.committed,
      }
    : undefined;
  const settled = want !== undefined && running?.variantDigest === want.variantDigest && running.committed;
  const activation = want === undefined || settled ? undefined : reportActivation(want, input);
  return { name, ...(running && { running }), ...(activation && { activation }) };
}

function reportProvider({ runs, tried, reason, cpuNodesRatio }: ProviderInUse): {
  provider: string;
  cpuNodesRatio?: number;
  providerReason?: string;
} {
  return {
    provider: runs,
    ...(cpuNodesRatio !== undefined && { cpuNodesRatio }),
    ...(tried.length > 0 && { providerReason: reason.slice(0, PROVIDER_REASON_MAX) }),
  };
}

function reportActivation(want: DesiredModel, input: ReportInput): ReportedModel['activation'] {
  const record = input.records.findLast((entry) => sameActivation(entry.target, want));
  if (record === undefined) return undefined;
  const { target, step, state, attempt } = record;
  const underWay = input.progress !== undefined && sameActivation(input.progress.target, target);
  const error = record.error ?? input.trouble(target.name)?.message;
  return {
    versionDigest: target.versionDigest,
    variantDigest: target.variantDigest,
    ...(target.rolloutId !== undefined && { rolloutId: target.rolloutId }),
    step,
    state: state === 'superseded' ? 'running' : state,
    attempt,
    ...(underWay && STEPS_WITH_PROGRESS.has(step) && { progress: Math.floor((input.progress?.share ?? 0) * 20) / 20 }),
    ...(underWay && input.progress?.doing !== undefined && { doing: input.progress.doing.slice(0, DOING_MAX) }),
    ...(error !== undefined && { error: error.slice(0, 2000) }),
  };
}
