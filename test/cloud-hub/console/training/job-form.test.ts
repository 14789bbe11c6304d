import { describe, expect, it } from 'vitest';
import {
  DEFAULT_MAX_DROP,
  DEFAULT_PARAMETERS,
  DEFAULT_PRIORITY,
  EMPTY_FIELDS,
  firstChoice,
  orderOf,
  type JobFields,
} from '@tidegate/cloud-hub/console/training/job-form.js';
import { createJobSchema } from '@tidegate/shared/wire/training-api.js';

const FIELDS: JobFields = { ...EMPTY_FIELDS, model: 'digits', parent: '1', datasets: ['hard@1'] };
/** As the hub reads it. */
const read = (fields: JobFields) => {
  const made = orderOf(fields);
  if ('missing' in made) throw new Error(made.missing);
  return createJobSchema.parse(made.order);
};

describe('the form that starts a run', () => {
  it('shows the defaults that the wire contract has', () => {
    const order = read(FIELDS);
    expect(order.parameters).toEqual(DEFAULT_PARAMETERS);
    expect(order).toMatchObject({
      priority: DEFAULT_PRIORITY,
      maxDrop: DEFAULT_MAX_DROP,
      slices: [],
    });
    expect(order).not.toHaveProperty('label');
    expect(order).not.toHaveProperty('threads');
  });

  it('sends only what differs from a default', () => {
    expect(orderOf(FIELDS)).toEqual({
      order: { model: 'digits', parent: '1', datasets: ['hard@1'], slices: [], parameters: {} },
    });
  });

  it('sends what was chosen, each where it belongs', () => {
    const order = read({
      ...FIELDS,
      slices: ['thick@2'],
      label: ' night ',
      numbers: { epochs: '5', learningRate: '3e-4', threads: '2', maxDrop: '0', maxSteps: ' ' },
      optimizer: 'sgd',
      fromScratch: true,
      freeze: 'conv*, bn?  head.bias',
    });
    expect(order.parameters).toMatchObject({
      epochs: 5,
      learningRate: 0.0003,
      optimizer: 'sgd',
      fromScratch: true,
      freeze: ['conv*', 'bn?', 'head.bias'],
    });
    expect(order).toMatchObject({ label: 'night', threads: 2, maxDrop: 0, slices: ['thick@2'] });
  });

  it('says what is missing before the hub is asked', () => {
    expect(orderOf({ ...FIELDS, parent: '' })).toEqual({ missing: 'choose the version to start from' });
    expect(orderOf({ ...FIELDS, datasets: [] })).toEqual({ missing: 'choose at least one dataset to train on' });
    expect(orderOf({ ...FIELDS, numbers: { epochs: 'many' } })).toEqual({ missing: 'epochs: many is no number' });
  });

  it('begins with the dataset that was asked for and its own model, else with the first model', () => {
    const ready = [
      { model: 'digits', version: 2 },
      { model: 'words', version: 1 },
      { model: 'words', version: 10 },
    ];
    const lines = { spec: 'lines@3', model: 'words' };
    expect(firstChoice(lines, ready)).toEqual({ model: 'words', parent: '10', datasets: ['lines@3'], slices: [] });
    const first = { model: 'digits', parent: '2', datasets: [], slices: [] };
    expect(firstChoice(undefined, ready)).toEqual(first);
    expect(firstChoice({ ...lines, model: 'gone' }, ready)).toEqual(first);
    expect(firstChoice(lines, [])).toEqual({});
  });
});
