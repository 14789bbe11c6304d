import { beforeEach, describe, expect, test } from 'vitest';
import { CountedService } from '@tidegate/shared/serving/counted-service.js';
import type { InferRequest } from '@tidegate/shared/serving/inference-service.js';
import { InferenceStatistics } from '@tidegate/shared/serving/inference-statistics.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { EchoService } from '../../support/echo-service.js';
import { inferRequest } from '../../support/infer-request.js';

const signal = new AbortController().signal;
const inputs = [{ name: 'X', datatype: 'FP32', shape: [3, 4], data: new Uint8Array(48) }] as const;
const request = (model: string, part: Partial<InferRequest> = {}): InferRequest =>
  inferRequest({ model, inputs, ...part });

let echo: EchoService;
let statistics: InferenceStatistics;
beforeEach(() => {
  echo = new EchoService();
  statistics = new InferenceStatistics();
});
const counted = (own: 'edge' | 'hub'): CountedService =>
  new CountedService(echo, { statistics, own, clock: systemClock });

describe('a counted service', () => {
  test('counts rows where they share runs, and a miss where the cache was asked', async () => {
    const service = counted('edge');
    await service.infer(request('matrix'), signal);
    await service.infer(request('matrix', { cache: 'bypass' }), signal);
    expect(statistics.of('matrix', '1')).toMatchObject({ inferenceCount: 6, cacheMiss: { count: 1 } });
  });

  test("somebody else's computing is a success, and no inference of this server", async () => {
    await counted('hub').infer(request('matrix', { version: '2' }), signal);
    expect(statistics.of('matrix', '2')).toMatchObject({ inferenceCount: 0, success: { count: 1 } });
  });

  test('a refusal is a failure of the version that was meant; an unknown name is none', async () => {
    echo.nextError = new ServingError('queue-full', 'full');
    const service = counted('edge');
    await expect(service.infer(request('matrix'), signal)).rejects.toThrow('full');
    await expect(service.infer(request('made-up'), signal)).rejects.toThrow('made-up');
    expect(statistics.of('matrix', '1').fail.count).toBe(1);
    expect(statistics.of('made-up', '1').fail.count).toBe(0);
    expect(service.statistics().map(({ name }) => name)).not.toContain('made-up');
  });

  test('a refusal before the body was read counts too, and only then', () => {
    const service = counted('edge');
    const head = () => ({ ...request('matrix', { inputs: [] }), inputBytes: undefined });
    expect(service.refuseUnread('matrix', undefined, 0, head)).toBeUndefined();
    echo.refusedUnread = new ServingError('queue-full', 'full');
    expect(service.refuseUnread('matrix', undefined, 0, head)).toBe(echo.refusedUnread);
    expect(statistics.of('matrix', '1').fail.count).toBe(1);
  });

  test('asks elsewhere where its service does', async () => {
    expect(counted('edge').metadataElsewhere).toBeUndefined();
    const theirs = { name: 'theirs', versions: [], platform: '', inputs: [], outputs: [] };
    Object.assign(echo, { metadataElsewhere: () => Promise.resolve(theirs) });
    expect(await counted('edge').metadataElsewhere?.('theirs', undefined, signal)).toBe(theirs);
  });
});
