// What one check found: what was measured, and where it isn't good, how to mend it. `warn` works today and may not tomorrow;
// `fail` means that something the agent needs doesn't work.

export interface Finding {
  readonly check: string;
  readonly level: 'ok' | 'warn' | 'fail';
  /** What was measured. */
  readonly found: string;
  /** What to do; absent where all is well. */
  readonly mend?: string;
}

export type Verdict = Omit<Finding, 'check'>;

export const fine = (found: string): Verdict => ({ level: 'ok', found });
export const warn = (found: string, mend: string): Verdict => ({ level: 'warn', found, mend });
export const fail = (found: string, mend: string): Verdict => ({ level: 'fail', found, mend });

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A check that rejects has failed, with what it says. */
export async function check(name: string, act: () => Promise<Verdict> | Verdict, mend: string): Promise<Finding> {
  try {
    return { check: name, ...(await act()) };
  } catch (error) {
    return { check: name, ...fail(messageOf(error), mend) };
  }
}
