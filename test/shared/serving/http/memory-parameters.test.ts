import { expect, test } from 'vitest';
import { memoryParameters } from '@tidegate/shared/serving/http/memory-parameters.js';

test('none, one with an offset, one without', () => {
  expect(memoryParameters({ binary_data_size: 4 }, 'inputs[0]')).toBeUndefined();
  const given = { shared_memory_region: 'r', shared_memory_byte_size: 4 };
  expect(memoryParameters(given, 'inputs[0]')).toEqual({ region: 'r', offset: 0, byteSize: 4 });
  expect(memoryParameters({ ...given, shared_memory_offset: 8 }, 'x')).toMatchObject({ offset: 8 });
});

test.each([
  ['shared_memory_region', { shared_memory_region: 1, shared_memory_byte_size: 4 }],
  ['shared_memory_byte_size', { shared_memory_region: 'r' }],
  ['shared_memory_byte_size', { shared_memory_region: 'r', shared_memory_byte_size: -1 }],
  ['shared_memory_offset', { shared_memory_region: 'r', shared_memory_byte_size: 1, shared_memory_offset: 0.5 }],
])('%s is wrong in %j', (name, parameters) => {
  const field = `inputs[0].parameters.${name}`;
  expect(() => memoryParameters(parameters, 'inputs[0]')).toThrow(expect.objectContaining({ field }));
});
