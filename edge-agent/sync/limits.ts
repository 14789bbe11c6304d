// Named bounds of keeping models in step. A step that takes longer is ended and counts as failed (field lesson B15); a
// download is bounded by stalling in the transport, and here only so that nothing runs for ever.

/** Free space that models never use up, so that state can still be written (B5). */
export const DISK_RESERVE_BYTES = 16 * 1024 * 1024;

export interface StepTimeouts {
  readonly downloadMs: number;
  readonly verifyMs: number;
  readonly loadMs: number;
  /** A GPU may compile for minutes before its first answer (B19). */
  readonly warmUpMs: number;
  readonly selfTestMs: number;
  /** Switch, commit, roll back without loading, removal. */
  readonly switchMs: number;
}

export const STEP_TIMEOUTS: StepTimeouts = {
  downloadMs: 6 * 3_600_000,
  verifyMs: 600_000,
  loadMs: 900_000,
  warmUpMs: 3_600_000,
  selfTestMs: 600_000,
  switchMs: 60_000,
};
