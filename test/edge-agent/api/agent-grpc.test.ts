import { status } from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import { openAgentGrpc } from '@tidegate/edge-agent/api/agent-grpc.js';
import { BodyBudget } from '@tidegate/shared/serving/http/body-budget.js';
import { DEFAULT_OIP_LIMITS } from '@tidegate/shared/serving/http/oip-limits.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { EchoService } from '../../support/echo-service.js';
import { GrpcClient } from '../../support/grpc-client.js';

const modules = {
  service: new EchoService(),
  limits: DEFAULT_OIP_LIMITS,
  budget: new BodyBudget(DEFAULT_OIP_LIMITS.bodiesBytesMax),
  defaultTimeoutMs: 1000,
  clock: systemClock,
  log: silentLog,
  serverName: 'agent',
  serverVersion: '1',
};

test('with a token, every call needs it, as over HTTP; without one, nobody does', async () => {
  const guarded = await openAgentGrpc({ host: '127.0.0.1', grpcPort: 0, apiToken: 'sixteen-letters!' }, modules);
  const open = await openAgentGrpc({ host: '127.0.0.1', grpcPort: 0, apiToken: undefined }, modules);
  const client = new GrpcClient(guarded?.address ?? '');
  const anybody = new GrpcClient(open?.address ?? '');
  try {
    expect(await client.refusal('ServerLive', {})).toMatchObject({
      code: status.UNAUTHENTICATED,
      details: 'a bearer token is needed (header authorization)',
    });
    const metadata = { authorization: 'Bearer sixteen-letters!' };
    expect((await client.call('ServerLive', {}, { metadata })).answer).toEqual({ live: true });
    expect((await anybody.call('ServerLive', {})).answer).toEqual({ live: true });
  } finally {
    for (const each of [client, anybody]) each.close();
    await Promise.all([guarded?.close(1000), open?.close(1000)]);
  }
});

test('off is no server', async () => {
  expect(await openAgentGrpc({ host: '127.0.0.1', grpcPort: 'off', apiToken: undefined }, modules)).toBeUndefined();
});
