// Where one device stands in a rollout, from its own report: success is the *running* digest after probation, not the last
// digest installed (field lesson B13), and silence counts (B14). Pure.
import type { ReportedState } from '@tidegate/shared/wire/reported-state.js';

export interface DeviceProgress {
  readonly id: string;
  readonly state: 'waiting' | 'activating' | 'running' | 'failed' | 'rolled-back' | 'silent';
  readonly detail?: string;
}

export interface DeviceView {
  readonly id: string;
  readonly reported: ReportedState | undefined;
  readonly lastSeenAtMs: number | undefined;
  /** It holds its connection to the broker now. */
  readonly online: boolean;
  /** When this device was given the new version. */
  readonly assignedAtMs: number;
}

interface ProgressTarget {
  readonly model: string;
  readonly versionDigest: string;
}

/**
 * `silentAfterMs`: with nothing heard since then, counted from the later of assignment and last sign of life. A connected device that
 * runs the new version and gets no requests has nothing to say, and is not silent.
 */
export function progressOf(
  device: DeviceView,
  target: ProgressTarget,
  silentAfterMs: number,
  nowMs: number,
): DeviceProgress {
  const { id } = device;
  const model = device.reported?.models.find((m) => m.name === target.model);
  const activation = model?.activation?.versionDigest === target.versionDigest ? model.activation : undefined;
  const detail = activation?.error === undefined ? {} : { detail: activation.error };
  if (activation?.state === 'rolled-back') return { id, state: 'rolled-back', ...detail };
  if (activation?.state === 'needs-attention') return { id, state: 'failed', ...detail };
  const running = model?.running?.versionDigest === target.versionDigest ? model.running : undefined;
  if (running?.committed === true && device.online) return { id, state: 'running' };
  const heardAtMs = Math.max(device.assignedAtMs, device.lastSeenAtMs ?? 0);
  if (nowMs - heardAtMs > silentAfterMs) {
    return { id, state: 'silent', detail: `nothing heard for ${Math.round((nowMs - heardAtMs) / 1000)} s` };
  }
  if (running !== undefined) {
    return running.committed ? { id, state: 'running' } : { id, state: 'activating', detail: 'probation' };
  }
  if (activation !== undefined) return { id, state: 'activating', detail: activation.error ?? activation.step };
  return { id, state: 'waiting' };
}
