// Triton's trace and log settings over gRPC.
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startOipGrpcServer, type OipGrpcServer } from '../../../support/oip-grpc-server.js';

let server: OipGrpcServer;
beforeAll(async () => {
  server = await startOipGrpcServer();
});
afterAll(() => server.close());

const bool = (value: boolean) => ({ bool_param: value });

test('the log tells its settings, and changes them', async () => {
  const settings = async (update: Readonly<Record<string, unknown>>) =>
    (await server.client.call('LogSettings', update)).answer['settings'];
  expect(await settings({})).toMatchObject({
    log_info: { bool_param: true },
    log_error: { bool_param: true },
    log_verbose_level: { uint32_param: 0 },
    log_file: { string_param: '' },
  });
  expect(await settings({ settings: { log_verbose_level: { uint32_param: 1 } } })).toMatchObject({
    log_verbose_level: { uint32_param: 1 },
  });
  const quiet = { log_info: bool(false), log_verbose_level: { uint32_param: 0 } };
  expect(await settings({ settings: quiet })).toMatchObject({ log_info: bool(false), log_warning: bool(true) });
  expect(await settings({ settings: { log_info: bool(true) } })).toMatchObject({ log_info: bool(true) });
  const wrong = await server.client.refusal('LogSettings', { settings: { log_file: { string_param: '/x' } } });
  expect([wrong.code, wrong.details]).toEqual([status.INVALID_ARGUMENT, expect.stringMatching(/^log_file: /)]);
  const unknown = await server.client.refusal('LogSettings', { settings: { __proto__x: bool(true) } });
  expect(unknown.details).toMatch(/no such log setting/);
});

test('traces stay off, and what would turn them on is refused by its name', async () => {
  const { answer } = await server.client.call('TraceSetting', { model_name: 'echo-fp32' });
  expect(answer['settings']).toMatchObject({ trace_level: { value: ['OFF'] }, trace_rate: { value: ['1000'] } });
  await server.client.call('TraceSetting', { settings: { trace_level: { value: ['OFF'] }, trace_rate: {} } });
  const on = { settings: { trace_level: { value: ['TIMESTAMPS'] } } };
  expect((await server.client.refusal('TraceSetting', on)).details).toMatch(/^trace_level: tracing is not offered/);
  expect((await server.client.refusal('TraceSetting', { model_name: 'x' })).code).toBe(status.NOT_FOUND);
});
