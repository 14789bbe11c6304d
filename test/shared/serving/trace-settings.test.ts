import { describe, expect, test } from 'vitest';
import { traceSettings } from '@tidegate/shared/serving/trace-settings.js';

describe('trace settings', () => {
  test('are off; what says so too, or clears, changes nothing', () => {
    expect(traceSettings()).toMatchObject({ trace_level: ['OFF'], trace_count: '-1' });
    expect(traceSettings({ trace_level: 'OFF', trace_rate: 1000, trace_file: null })).toEqual(traceSettings());
  });

  test('turning anything on is refused by name', () => {
    const update = { trace_level: ['TIMESTAMPS'] };
    expect(() => traceSettings(update)).toThrow(/trace_level: tracing is not offered/);
    expect(() => traceSettings({ colour: 1 })).toThrow(expect.objectContaining({ field: 'colour' }));
  });
});
