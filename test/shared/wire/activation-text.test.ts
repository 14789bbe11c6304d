import { expect, it } from 'vitest';
import { activationText } from '@tidegate/shared/wire/activation-text.js';

it('says what is being done, how far it is, and what failed with which reason (B19)', () => {
  expect(activationText({ step: 'warm-up', state: 'running', progress: 0.43 })).toBe('warming 43%');
  expect(
    activationText({ step: 'load', state: 'running', progress: 0.5, doing: 'compiling b.onnx, 2 of 2 graphs' }),
  ).toBe('loading 50% (compiling b.onnx, 2 of 2 graphs)');
  expect(activationText({ step: 'download', state: 'running', error: 'no network' })).toBe('downloading: no network');
  expect(activationText({ step: 'commit', state: 'running' })).toBe('commit');
  expect(activationText({ step: 'load', state: 'failed', error: 'the CPU runs it' })).toBe(
    'load failed: the CPU runs it',
  );
});
