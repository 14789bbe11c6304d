import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { wantedCoding, worthCompressing } from '@tidegate/shared/serving/http/content-coding.js';

const LARGE = 100_000;

describe('the coding of an answer', () => {
  test.each([
    ['gzip', false, 'gzip'],
    ['deflate', false, 'deflate'],
    ['gzip, deflate, br', false, 'gzip'],
    ['br', false, undefined],
    ['', false, undefined],
    ['GZIP;q=0.5', false, 'gzip'],
    ['gzip;q=0, deflate', false, 'deflate'],
    ['identity', false, undefined],
  ])('%j over the network', (header, loopback, coding) => {
    expect(wantedCoding(header, LARGE, loopback)).toBe(coding);
  });

  test("over loopback a library's default list is no wish, one named coding is", () => {
    expect(wantedCoding('gzip, deflate', LARGE, true)).toBeUndefined();
    expect(wantedCoding('gzip', LARGE, true)).toBe('gzip');
  });

  test('a small answer stays as it is', () => {
    expect(wantedCoding('gzip', 500, false)).toBeUndefined();
  });

  test('a sample decides whether it pays', () => {
    expect(worthCompressing(Buffer.alloc(LARGE, 'abc'))).toBe(true);
    expect(worthCompressing(randomBytes(LARGE))).toBe(false);
  });
});
