// What the end of a job's process means for the job. Pure. A process that was asked to end has been preempted whatever way it went: what it
// did since its last checkpoint is done again. One that ends by itself without a word is started again from the checkpoint, as
// long as it gets further between two deaths; one that dies over and over at the same place is a failed job, with the reason.
import { EXIT } from '../job-process/job-order.js';

/** Deaths in a row without a newer checkpoint in between that are forgiven. */
const DEATHS_FORGIVEN = 3;

export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Its last word before exit code 1. */
  readonly failure: string | undefined;
  /** The end of what it wrote on stderr. */
  readonly stderr: string;
}

export interface EndCircumstances {
  /** Was it told to end, to go on later? */
  readonly askedToLeave: boolean;
  /** Why it was killed for good: the limit that it passed. */
  readonly overLimit: string | undefined;
  /** Is there a result in the folder that reads back? */
  readonly hasResult: boolean;
  /** Deaths since its newest checkpoint moved, before this one. */
  readonly deathsBefore: number;
  /** Is there a newer checkpoint than when this process began? */
  readonly gotFurther: boolean;
}

type EndDecision =
  | { readonly kind: 'done' }
  | { readonly kind: 'left' }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'again'; readonly deaths: number; readonly reason: string };

export function judgeEnd(end: ProcessEnd, circumstances: EndCircumstances): EndDecision {
  const { askedToLeave, overLimit, hasResult, deathsBefore, gotFurther } = circumstances;
  if (end.code === EXIT.done && hasResult) return { kind: 'done' };
  if (overLimit !== undefined) return { kind: 'failed', reason: overLimit };
  if (end.code === EXIT.failed && end.failure !== undefined) return { kind: 'failed', reason: end.failure };
  // Somebody else's SIGTERM counts too, but one that leaves at once every time is no better than one that dies.
  if (askedToLeave || (end.code === EXIT.preempted && gotFurther)) return { kind: 'left' };
  const reason = `its process ended (${howOf(end)})${saidOf(end)}`;
  const deaths = gotFurther ? 1 : deathsBefore + 1;
  if (deaths <= DEATHS_FORGIVEN) return { kind: 'again', deaths, reason };
  return { kind: 'failed', reason: `${reason}, ${deaths} times without getting further` };
}

function howOf({ code, signal }: ProcessEnd): string {
  if (signal !== null) return `signal ${signal}`;
  return code === EXIT.done ? 'code 0, but without a result' : `code ${code}`;
}

function saidOf({ stderr }: ProcessEnd): string {
  const lines = stderr
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('at '));
  const telling = lines.find((line) => /error/i.test(line)) ?? lines.at(-1);
  return telling === undefined ? '' : `: ${telling.slice(0, 300)}`;
}
