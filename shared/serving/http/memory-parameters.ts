// The parameters by which an input or an output names a place in shared memory (Triton's extension_shared_memory.md).
import { describe } from '../../tensor/json-data.js';
import { invalid } from './invalid.js';

interface MemoryParameters {
  readonly region: string;
  readonly offset: number;
  readonly byteSize: number;
}

/** Undefined = the tensor travels in the message. Throws ServingError `invalid-argument` naming the parameter. */
export function memoryParameters(
  parameters: Readonly<Record<string, unknown>>,
  field: string,
): MemoryParameters | undefined {
  const region = parameters['shared_memory_region'];
  if (region === undefined || region === null) return undefined;
  if (typeof region !== 'string') {
    throw invalid(`${field}.parameters.shared_memory_region`, `expected a string, got ${describe(region)}`);
  }
  return {
    region,
    offset: bytes(parameters['shared_memory_offset'] ?? 0, `${field}.parameters.shared_memory_offset`),
    byteSize: bytes(parameters['shared_memory_byte_size'], `${field}.parameters.shared_memory_byte_size`),
  };
}

function bytes(value: unknown, field: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw invalid(field, `expected a number of bytes, got ${describe(value)}`);
}
