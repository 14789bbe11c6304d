// Errors of the data side as statuses, for the admin API and the device port alike.
import type { Problem } from '@tidegate/shared/wire/admin-api.js';
import { DataError, type DataErrorCode } from '../data/data-error.js';
import { problem } from './problem.js';

export const DATA_STATUS: Readonly<Record<DataErrorCode, number>> = {
  'not-found': 404,
  invalid: 400,
  forbidden: 403,
  conflict: 409,
  full: 507, // until an operator makes room
  'no-space': 507,
  busy: 503,
};

export function dataProblem(error: unknown): Problem | undefined {
  return error instanceof DataError ? problem(DATA_STATUS[error.code], error.message, error.field) : undefined;
}
