import { describe, expect, it } from 'vitest';
import { rangeOf } from '@tidegate/cloud-hub/api/device/send-file.js';

const etag = '"abc"';
const range = (text: string, ifRange?: string) =>
  rangeOf({ range: text, ...(ifRange === undefined ? {} : { 'if-range': ifRange }) }, 1000, etag);

describe('the range that a request asks for (RFC 9110, 14)', () => {
  it.each([
    ['bytes=0-99', { start: 0, end: 99 }],
    ['bytes=990-', { start: 990, end: 999 }],
    ['bytes=0-99999', { start: 0, end: 999 }],
    ['bytes=-10', { start: 990, end: 999 }],
    ['bytes=-5000', { start: 0, end: 999 }],
    ['bytes=1000-', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=9-3', 'whole'],
    ['bytes=0-1,5-6', 'whole'],
    ['bytes=-', 'whole'],
    ['items=0-1', 'whole'],
    ['', 'whole'],
  ])('%s', (text, expected) => {
    expect(range(text)).toEqual(expected);
  });

  it('counts only for the content that If-Range names, and only where there is an ETag', () => {
    expect(range('bytes=1-2', etag)).toEqual({ start: 1, end: 2 });
    expect(range('bytes=1-2', '"xyz"')).toBe('whole');
    expect(rangeOf({ range: 'bytes=1-2' }, 1000, undefined)).toBe('whole');
  });
});
