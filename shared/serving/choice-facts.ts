// What a branch of a pipeline decided for one request, and how `explain` and traces say it. The value that decided isn't told: it may be a label.

/** For how many items the branch's test held, and of how many; 1 where it is on no list. */
export interface ChoiceFacts {
  /** What errors call the step. */
  readonly step: string;
  readonly held: number;
  readonly of: number;
}

/** `step branch: its first side`, `step branch: its first side for 2 of 3 items`. */
export function choiceText({ step, held, of }: ChoiceFacts): string {
  if (of === 1) return `${step}: its ${held === 1 ? 'first' : 'second'} side`;
  return `${step}: its first side for ${held} of ${of} items`;
}
