import { offsetOf, pageOf, pageToken } from '@tidegate/cloud-hub/mlflow/page-token.js';
import { expect, test } from 'vitest';

test('a token says where the list goes on', () => {
  expect(offsetOf(undefined)).toBe(0);
  expect(offsetOf('')).toBe(0);
  expect(offsetOf(pageToken(7))).toBe(7);
});

test.each(['x', 'e30=', pageToken(0), pageToken(-1), pageToken(1.5), Buffer.from('null').toString('base64')])(
  '%j is no token',
  (token) => {
    expect(() => offsetOf(token)).toThrow(/page_token/);
  },
);

test('pages neither repeat nor skip, and the last has no token', () => {
  const all = Array.from({ length: 10 }, (_, i) => i);
  const seen: number[] = [];
  let token: string | undefined;
  do {
    const { items, next } = pageOf(all, token, 4);
    seen.push(...items);
    token = next;
  } while (token !== undefined);
  expect(seen).toEqual(all);
  expect(pageOf(all, undefined, 10).next).toBeUndefined();
});
