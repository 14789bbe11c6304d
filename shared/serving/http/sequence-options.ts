// What a request says of its sequence (Triton's sequence extension): `sequence_id` (an unsigned 64-bit number, or text),
// `sequence_start`, `sequence_end`. An id of 0 or of no text is none, as Triton has it. Pure.
import { describe } from '../../tensor/json-data.js';
import type { SequenceAsked } from '../inference-service.js';
import { invalid } from './invalid.js';

/** As Triton's. */
const ID_LENGTH_MAX = 128;
const ID_MAX = 2n ** 64n - 1n;

/** An option as it was given, and what it is called there. */
export interface Stated {
  readonly value: unknown;
  readonly field: string;
}

/**
 * Undefined = of no sequence. A number beyond 2^53 has to come as a bigint: rounded, two sequences would become one. Throws
 * ServingError `invalid-argument` naming the parameter or the header.
 */
export function readSequence(
  id: Stated | undefined,
  start: Stated | undefined,
  end: Stated | undefined,
): Pick<SequenceAsked, 'id' | 'start' | 'end'> | undefined {
  const [starts, ends] = [flag(start), flag(end)];
  const text = id === undefined ? undefined : idOf(id);
  if (text !== undefined) return { id: text, start: starts, end: ends };
  const idle = starts ? start : ends ? end : undefined;
  if (idle !== undefined) throw invalid(idle.field, 'of which sequence? sequence_id is missing');
  return undefined;
}

function idOf({ value, field }: Stated): string | undefined {
  if (value === '' || value === 0 || value === 0n) return undefined;
  if (typeof value === 'string' && value.length <= ID_LENGTH_MAX) return JSON.stringify(value);
  const whole = typeof value === 'bigint' || (typeof value === 'number' && Number.isSafeInteger(value));
  if (whole && value > 0 && BigInt(value) <= ID_MAX) return String(value);
  const allowed = `a whole number from 1 to 2^64 - 1, or text of at most ${ID_LENGTH_MAX} characters`;
  throw invalid(field, `expected ${allowed}; got ${describe(value)}`);
}

function flag(option: Stated | undefined): boolean {
  if (option === undefined) return false;
  const { value, field } = option;
  if (typeof value === 'boolean') return value;
  throw invalid(field, `expected true or false, got ${describe(value)}`);
}
