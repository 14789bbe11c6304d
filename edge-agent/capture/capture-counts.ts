// What capturing has done since the agent started, for metrics and status.
import type { CaptureReason } from './choose-rows.js';

export type DropReason =
  | 'rate' // more than the package's `capture.perMinute`
  | 'queue-full' // the disk did not keep up
  | 'too-large' // no sample can be that large
  | 'limit' // made room for others under --capture-limit
  | 'disk' // no space left for it, or it could not be written
  | 'damaged' // did not decrypt
  | 'policy' // the policy became stricter before it was sent
  | 'refused' // the hub never takes it
  | 'not-open'; // the store could not be opened

export interface CaptureTotals {
  readonly captured: readonly { readonly model: string; readonly reason: CaptureReason; readonly count: number }[];
  readonly dropped: Readonly<Partial<Record<DropReason, number>>>;
  readonly sent: number;
}

export class CaptureCounts {
  readonly #captured = new Map<string, { model: string; reason: CaptureReason; count: number }>();
  readonly #dropped: Partial<Record<DropReason, number>> = {};
  #sent = 0;

  captured(model: string, reason: CaptureReason): void {
    const key = `${model} ${reason}`;
    const row = this.#captured.get(key) ?? { model, reason, count: 0 };
    row.count += 1;
    this.#captured.set(key, row);
  }

  dropped(why: DropReason, count = 1): void {
    this.#dropped[why] = (this.#dropped[why] ?? 0) + count;
  }

  sent(): void {
    this.#sent += 1;
  }

  get totals(): CaptureTotals {
    return { captured: [...this.#captured.values()], dropped: { ...this.#dropped }, sent: this.#sent };
  }
}
