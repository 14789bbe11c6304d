import { expect, it } from 'vitest';
import { onlyRunsHere, type OnlyRunsView } from '@tidegate/edge-agent/router/only-runs-here.js';

const head = { placement: 'auto', cache: 'use', sequence: undefined } as const;
const model = { yaml: { cache: { enabled: false } }, deterministic: true, stateful: false, cuts: [] };
const view: OnlyRunsView = { inMemory: true, aside: false, hubMayAnswer: false };
const sure = (part: object, ofModel: object = {}, ofView: Partial<OnlyRunsView> = {}): boolean =>
  onlyRunsHere({ ...head, ...part } as never, { ...model, ...ofModel } as never, { ...view, ...ofView });

it('is sure where nothing is kept, and nobody else is asked', () => {
  expect(sure({})).toBe(true);
  const cached = { yaml: { cache: { enabled: true } } };
  expect(sure({ cache: 'bypass' }, cached)).toBe(true);
  expect(sure({}, cached, { aside: true })).toBe(true);
  expect(sure({}, { ...cached, deterministic: false })).toBe(true);
});

it.each([
  ['an answer may be kept', {}, { yaml: { cache: { enabled: true } } }, {}],
  ['an equal request may be under way', { cache: 'refresh' }, { yaml: { cache: { enabled: true } } }, {}],
  ['a similar input may have been answered', {}, { yaml: { cache: { enabled: false, semantic: {} } } }, {}],
  ['the hub is wanted', { placement: 'hub' }, {}, {}],
  ['a split is wanted', { placement: 'split' }, {}, {}],
  ['a split may pay', {}, { cuts: [{}] }, {}],
  ['the hub may help', {}, {}, { hubMayAnswer: true }],
  ['it has to be loaded first', {}, {}, { inMemory: false }],
  ['it goes on with a sequence', { sequence: { id: '1', start: false, end: false } }, {}, {}],
  ['the model has state', {}, { stateful: true }, {}],
])('is not sure where %s', (_, ofHead, ofModel, ofView) => {
  expect(sure(ofHead, ofModel, ofView)).toBe(false);
});
