import { chooseVariant } from '@tidegate/cloud-hub/registry/choose-variant.js';
import { deviceClassName } from '@tidegate/shared/wire/device-class-name.js';
import type { DeviceClass } from '@tidegate/shared/wire/device-class.js';
import type { VariantReport } from '@tidegate/shared/wire/variant-report.js';
import { expect, test } from 'vitest';

const here: DeviceClass = { architecture: 'x64', instructions: ['avx2'], provider: 'cpu', cores: 4, memoryTierGiB: 8 };
const report = (
  variant: string,
  outcome: VariantReport['outcome'],
  deviceClass = deviceClassName(here),
): VariantReport => ({
  variant,
  outcome,
  deviceClass,
  reason: '',
});

test('the class that was measured gets what was chosen', () => {
  const reports = [report('fp32', 'kept'), report('int8-dynamic', 'chosen'), report('int4-weights', 'kept')];
  expect(chooseVariant(reports, ['fp32', 'int8-dynamic', 'int4-weights'], here)).toBe('int8-dynamic');
});

test('a class that nobody measured, or none, gets fp32', () => {
  const reports = [report('int8-dynamic', 'chosen')];
  expect(chooseVariant(reports, ['fp32', 'int8-dynamic'], { ...here, cores: 2 })).toBe('fp32');
  expect(chooseVariant(reports, ['fp32', 'int8-dynamic'], { ...here, instructions: [] })).toBe('fp32');
  expect(chooseVariant(reports, ['fp32', 'int8-dynamic'], undefined)).toBe('fp32');
});

test('what is not held is not offered', () => {
  expect(chooseVariant([report('int8-dynamic', 'chosen')], ['fp32'], here)).toBe('fp32');
});
