import { RegistryError } from '@tidegate/cloud-hub/registry/registry-error.js';
import { labelProblem, resolveSpec } from '@tidegate/cloud-hub/registry/resolve-spec.js';
import { describe, expect, test } from 'vitest';

const digest = (start: string): string => `sha256:${start.padEnd(64, '0')}`;
const versions = [
  { version: 1, label: '1.0', digest: digest('abcd1') },
  { version: 2, label: 'stable', digest: digest('abcd2') },
  { version: 12, label: null, digest: digest('1234') },
];
const found = (spec: string): number | undefined => resolveSpec('ocr', spec, versions)?.version;

describe('MODEL@SPEC', () => {
  test.each([
    ['1', 1],
    ['12', 12],
    ['1.0', 1],
    ['stable', 2],
    ['abcd1', 1],
    ['sha256:abcd2', 2],
    [digest('abcd2'), 2],
    ['1234', 12], // no version 1234: a digest's beginning
  ])('%s is version %i', (spec, version) => expect(found(spec)).toBe(version));

  test.each(['3', 'latest', 'abc', 'ffff', 'ABCD1', '01', '', '-1', 'sha256:'])('%j is none', (spec) =>
    expect(found(spec)).toBeUndefined(),
  );

  test('a beginning that fits several is refused, naming them', () => {
    expect(() => found('abcd')).toThrow(RegistryError);
    expect(() => found('abcd')).toThrow(/ocr@1 .*ocr@2/);
  });
});

describe('a label', () => {
  test.each(['1.0', 'stable', 'v12', '2026-01-01', 'a+b'])('%s may be one', (label) =>
    expect(labelProblem(label)).toBeUndefined(),
  );
  test.each(['12', '', 'a b', '-x', 'a/b', 'ü'])('%j may not', (label) => expect(labelProblem(label)).toMatch(/label/));
});
