import { describe, expect, test } from 'vitest';
import { changedLevel, logSettings } from '@tidegate/shared/serving/log-settings.js';

describe('log settings', () => {
  test.each(['debug', 'info', 'warn', 'error', 'silent'] as const)('of level %s lead back to it', (level) => {
    expect(changedLevel('info', { ...logSettings(level) })).toBe(level);
  });

  test('one switch at a time, null changes nothing', () => {
    expect(changedLevel('info', { log_verbose_level: 3, log_file: null })).toBe('debug');
    expect(changedLevel('debug', { log_verbose_level: 0 })).toBe('info');
    expect(changedLevel('info', { log_info: false })).toBe('warn');
  });

  test.each([
    ['log_warning', { log_warning: false }],
    ['log_verbose_level', { log_info: false, log_verbose_level: 1 }],
    ['log_verbose_level', { log_verbose_level: -1 }],
    ['log_verbose_level', { log_verbose_level: true }],
    ['log_error', { log_error: 1 }],
    ['log_file', { log_file: '/tmp/x' }],
    ['log_format', { log_format: 'ISO8601' }],
    ['colour', { colour: true }],
  ])('%s is refused: %j', (field, update) => {
    const refused = expect.objectContaining({ code: 'invalid-argument' });
    expect(() => changedLevel('info', update)).toThrow(refused);
    expect(() => changedLevel('info', update)).toThrow(new RegExp(field === 'log_warning' ? 'log_info' : field));
  });
});
