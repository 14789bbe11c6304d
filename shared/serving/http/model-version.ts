// The version of a model as requests name it. It becomes a part of paths, of the hub's among them, so nothing but digits passes.
import { describe } from '../../tensor/json-data.js';
import { invalid } from './invalid.js';

const VERSION = /^[0-9]{1,15}$/;

/** Throws ServingError `invalid-argument` naming `field`. */
export function checkVersion(version: string, field: string): string {
  if (VERSION.test(version)) return version;
  throw invalid(field, `expected digits, got ${describe(version)}`);
}
