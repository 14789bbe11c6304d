// What a caller is told whose request the scheduler gives up, in the words of the serving port.
import type { RuntimeError } from '../runtime/runtime-error.js';
import { ServingError } from '../serving/serving-error.js';

/** It waited, and had to make room for a caller that has had less. */
export function displaced(retryAfterMs: number): ServingError {
  const text = 'refused: its caller has had its share, and others who ask have not';
  return new ServingError('would-miss-deadline', text, { retryAfterMs: Math.ceil(retryAfterMs) });
}

/** It waited, and can't end in time any more. */
export function hopeless(costMs: number): ServingError {
  const text = 'runs took longer than they had, and the time left does not suffice any more';
  return new ServingError('deadline-exceeded', text, { retryAfterMs: Math.ceil(costMs) });
}

export function cancelled(): ServingError {
  return new ServingError('cancelled', 'the caller went away');
}

export function servingErrorOf(error: RuntimeError, times: 'once' | 'twice'): ServingError {
  switch (error.code) {
    case 'invalid-input':
      return new ServingError('invalid-argument', error.message, { cause: error });
    case 'state-lost':
      return new ServingError('sequence-lost', error.message, { cause: error });
    case 'closed':
    case 'quarantined':
      return new ServingError('not-ready', error.message, { cause: error });
    case 'cancelled':
      return new ServingError('cancelled', error.message, { cause: error });
    case 'executor-died':
    case 'executor-hung':
      return new ServingError(
        'failed',
        `the executor failed ${times === 'twice' ? 'twice' : ''} on this request: ${error.message}`,
        {
          cause: error,
        },
      );
    default:
      return new ServingError('failed', error.message, { cause: error });
  }
}
