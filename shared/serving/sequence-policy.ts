// What becomes of a request that belongs to a sequence, decided from what is known of the sequence: pure, so that its rules can
// be read and tested by themselves (Triton's sequence extension). A sequence begins with `sequence_start`, and only with it: an
// unknown one is never made up, since its answers would look right and be wrong (field lesson B26).
import type { SequenceAsked } from './inference-service.js';
import type { ServingErrorCode } from './serving-error.js';

interface SequenceView {
  readonly asked: Pick<SequenceAsked, 'id' | 'start'>;
  /** Is it in the table: live, or with requests that wait for their turn? */
  readonly known: boolean;
  /** Why it ended, where it did not end as its caller wanted. */
  readonly ended: string | undefined;
  readonly count: number;
  readonly countMax: number;
}

type SequenceDecision =
  { readonly enter: true } | { readonly enter: false; readonly code: ServingErrorCode; readonly reason: string };

/** May the request take its place in the sequence's queue? */
export function enterSequence({ asked, known, ended, count, countMax }: SequenceView): SequenceDecision {
  if (known) return { enter: true };
  if (!asked.start) {
    if (ended !== undefined) return { enter: false, code: 'sequence-lost', reason: lostReason(asked.id, ended) };
    const reason = `sequence ${asked.id} is not known here: its first request says sequence_start`;
    return { enter: false, code: 'invalid-argument', reason };
  }
  if (count < countMax) return { enter: true };
  const reason = `${count} sequences are live, and no more are taken: end one, or come again`;
  return { enter: false, code: 'queue-full', reason };
}

export function lostReason(id: string, why: string): string {
  return `sequence ${id} has lost its state: ${why}; start it again (sequence_start)`;
}

interface IdleView {
  readonly usedMs: number;
  /** Requests of it under way or waiting. */
  readonly waiting: number;
}

/** Which sequences have been idle for too long, and when to look again: never where none can become so. */
export function idleSequences<T extends IdleView>(
  sequences: Iterable<T>,
  idleTimeoutMs: number,
  nowMs: number,
): { readonly ended: readonly T[]; readonly againInMs: number | undefined } {
  const ended: T[] = [];
  let againInMs: number | undefined;
  for (const sequence of sequences) {
    if (sequence.waiting > 0) continue; // its next end tells
    const leftMs = sequence.usedMs + idleTimeoutMs - nowMs;
    if (leftMs <= 0) ended.push(sequence);
    else againInMs = Math.min(againInMs ?? Infinity, leftMs);
  }
  return { ended, againInMs };
}
