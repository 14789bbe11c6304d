// What a request may name where its connection names nothing: a stream's frame says model and version itself.
import { expect, test } from 'vitest';
import { InferExchange } from '@tidegate/shared/serving/http/infer-exchange.js';
import { memoryAccess } from '@tidegate/shared/serving/http/memory-access.js';
import { BodyBudget } from '@tidegate/shared/serving/http/body-budget.js';
import { OVER_HTTP, OVER_WEBSOCKET } from '@tidegate/shared/serving/request-trace.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { EchoService } from '../../../support/echo-service.js';

const service = new EchoService();
const limits = { jsonBytesMax: 1 << 16, timeoutMsMax: 60_000 };
const exchange = new InferExchange({ service, limits, defaultTimeoutMs: 30_000, clock: systemClock });
const memory = memoryAccess(undefined, false, { bodyBytesMax: 1, share: new BodyBudget(1).open() });

interface Named {
  readonly model?: string;
  readonly version?: string;
}

function ask(connection: Named, frame: object): Promise<string> {
  const inputs = [{ name: 'INPUT0', datatype: 'FP32', shape: [1], data: [1] }];
  const body = Buffer.from(JSON.stringify({ inputs, ...frame }));
  const { model, version } = connection;
  const arrivedMs = systemClock.monotonicMs();
  const target = { entrance: OVER_WEBSOCKET, headers: {}, model, version, identity: undefined };
  const received = { ...target, body, jsonBytes: undefined, arrivedMs, memory };
  return exchange.answer(received, new AbortController().signal).then(({ body: { json } }) => json);
}

test('the connection names the model, or the frame does', async () => {
  expect(await ask({ model: 'echo-fp32' }, {})).toContain('"model_name":"echo-fp32"');
  expect(await ask({}, { model_name: 'echo-fp32', model_version: '1' })).toContain('"model_name":"echo-fp32"');
  expect(await ask({}, { model_name: 'echo-fp32', model_version: '' })).toContain('"model_name":"echo-fp32"');
  for (const nobody of [ask({}, {}), ask({ model: '' }, {}), ask({}, { model_name: '' })]) {
    await expect(nobody).rejects.toMatchObject({ code: 'invalid-argument', field: 'model_name' });
  }
});

test('generate asks elsewhere for the types of a model that is not here, and only then', async () => {
  const asked: unknown[] = [];
  const elsewhere = Object.assign(new EchoService(), {
    metadataElsewhere: (model: string, version: string | undefined) => {
      asked.push([model, version]);
      return Promise.resolve(service.metadata('echo-int8', version));
    },
  });
  const generating = new InferExchange({ service: elsewhere, limits, defaultTimeoutMs: 30_000, clock: systemClock });
  const generate = (model: string, version?: string): Promise<unknown> => {
    const body = Buffer.from('{"INPUT0":[1]}');
    const target = { entrance: OVER_HTTP.generate, headers: {}, model, version, identity: undefined };
    const arrivedMs = systemClock.monotonicMs();
    return generating.generate(
      { ...target, body, jsonBytes: undefined, arrivedMs, memory },
      new AbortController().signal,
    );
  };
  await generate('echo-fp32');
  expect(asked).toEqual([]);
  await expect(generate('theirs', '2')).rejects.toMatchObject({ code: 'not-found' }); // this echo forwards nothing
  expect(asked).toEqual([['theirs', '2']]);
});

test('a version is digits, wherever it is named: it becomes a part of paths', async () => {
  const before = service.requests.length;
  for (const version of ['latest', '../../admin', '1/../..', '1?x', '1'.repeat(16)]) {
    for (const answer of [
      ask({ model: 'echo-fp32', version }, {}),
      ask({}, { model_name: 'x', model_version: version }),
    ]) {
      await expect(answer).rejects.toMatchObject({ code: 'invalid-argument', field: 'model_version' });
    }
  }
  expect(service.requests).toHaveLength(before);
});
