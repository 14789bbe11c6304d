import { expect, it } from 'vitest';
import type { RequestHead } from '@tidegate/shared/serving/inference-service.js';
import { refuseUnread } from '@tidegate/shared/serving/http/refuse-unread.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';

const full = new ServingError('queue-full', 'full');
const modules = { limits: { timeoutMsMax: 60_000 }, defaultTimeoutMs: 30_000 };
const head = (headers: Record<string, string>) => ({
  headers,
  model: 'm',
  version: '2',
  identity: undefined,
  arrivedMs: 100,
});

it('shows the service what path and headers say, when it wants to know', () => {
  let seen: RequestHead | undefined;
  const service = {
    refuseUnread: (_: string, __: unknown, deadlineMs: number, read: () => RequestHead) => {
      seen = read();
      expect(deadlineMs).toBe(seen.deadlineMs);
      return full;
    },
  };
  const headers = { 'tidegate-timeout': '5000', 'tidegate-tenant': 'till', 'tidegate-priority': '3' };
  expect(refuseUnread(head(headers), { service, ...modules })).toBe(full);
  expect(seen).toMatchObject({ model: 'm', version: '2', deadlineMs: 105, caller: 'till', priority: 3, inputs: [] });
  expect(refuseUnread({ ...head(headers), identity: 'token:ci' }, { service, ...modules })).toBe(full);
  expect(seen?.caller).toBe('token:ci');
  for (const timeout of ['0', '99000000000', ''])
    refuseUnread(head({ 'tidegate-timeout': timeout }), { service, ...modules });
  const bytes = { 'content-length': '1100', 'inference-header-content-length': '100' };
  const sizes = [bytes, { ...bytes, 'content-encoding': 'gzip' }, { 'content-length': '1100' }].map((more) => {
    refuseUnread(head(more), { service, ...modules });
    return seen?.inputBytes;
  });
  expect(sizes).toEqual([1000, undefined, undefined]);
});

it('reads the body where the service does not look, or a header is wrong that the body may say right', () => {
  expect(refuseUnread(head({}), { service: {}, ...modules })).toBeUndefined();
  const service = { refuseUnread: (_: string, __: unknown, ___: number, read: () => RequestHead) => (read(), full) };
  expect(refuseUnread(head({ 'tidegate-timeout': 'soon' }), { service, ...modules })).toBeUndefined();
  const broken = { refuseUnread: () => assertNever() };
  expect(() => refuseUnread(head({}), { service: broken, ...modules })).toThrow(TypeError);
});

function assertNever(): never {
  throw new TypeError('a bug');
}
