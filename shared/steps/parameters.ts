// A step's parameters come from model.yaml, untrusted: the first mistake becomes a StepError that names the parameter.
import type { z } from 'zod';
import { StepError } from './step.js';

/** Throws StepError `step resize: with.height: ...`. */
export function parseParameters<P>(step: string, schema: z.ZodType<P>, value: unknown): P {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
  const field = ['with', ...(issue?.path.map(String) ?? []), ...(unknown === undefined ? [] : [unknown])].join('.');
  const message = unknown === undefined ? (issue?.message ?? 'is not valid') : 'is not a parameter of this step';
  throw new StepError(step, `${field}: ${message}`, { cause: parsed.error });
}
