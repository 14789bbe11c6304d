// Random mutations of valid requests: never a 500, never a hang, always an answer of the protocol's form, and a good
// request afterwards still works. fast-check prints the seed of what it finds.
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DATATYPES } from '@tidegate/shared/tensor/datatype.js';
import { BodyBudget } from '@tidegate/shared/serving/http/body-budget.js';
import { memoryAccess } from '@tidegate/shared/serving/http/memory-access.js';
import { parseInfer } from '@tidegate/shared/serving/http/parse-infer.js';
import { isOipTarget, parseOipRoute } from '@tidegate/shared/serving/http/oip-route.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import { startOipServer, type OipServer } from '../../../support/oip-server.js';

let server: OipServer;
beforeAll(async () => {
  server = await startOipServer({ bodyBytesMax: 1 << 16 });
});
afterAll(() => server.close());

const GOOD = JSON.stringify({ inputs: [{ name: 'INPUT0', datatype: 'FP32', shape: [1], data: [1] }] });

/** A value that a field of a request might hold by mistake. */
const wrong = fc.oneof(
  fc.constantFrom(
    null,
    true,
    '',
    'x',
    [],
    {},
    [[]],
    -1,
    0,
    1.5,
    2 ** 31,
    2 ** 53,
    4611686018427387904,
    1e308,
    '__proto__',
  ),
  fc.jsonValue({ maxDepth: 3 }),
);

const tensorJson = fc.record(
  {
    name: fc.oneof(fc.constantFrom('INPUT0', 'TEXT', 'NUMBERS', 'X'), wrong),
    datatype: fc.oneof(fc.constantFrom(...DATATYPES), wrong),
    shape: fc.oneof(fc.array(fc.integer({ min: -1, max: 4 }), { maxLength: 4 }), wrong),
    data: fc.oneof(fc.array(fc.oneof(fc.integer(), fc.double(), fc.boolean(), fc.string()), { maxLength: 6 }), wrong),
    parameters: fc.oneof(fc.record({ binary_data_size: fc.oneof(fc.integer({ min: -1, max: 20 }), wrong) }), wrong),
  },
  { requiredKeys: [] },
);

const requestJson = fc.record(
  {
    id: fc.oneof(fc.string(), wrong),
    inputs: fc.oneof(fc.array(tensorJson, { maxLength: 3 }), wrong),
    outputs: fc.oneof(
      fc.array(fc.record({ name: fc.constantFrom('OUTPUT0', 'x'), parameters: wrong }), { maxLength: 2 }),
      wrong,
    ),
    parameters: fc.oneof(
      fc.record(
        {
          timeout: wrong,
          priority: wrong,
          placement: wrong,
          cache: wrong,
          binary_data_output: fc.oneof(fc.boolean(), wrong),
        },
        { requiredKeys: [] },
      ),
      wrong,
    ),
  },
  { requiredKeys: ['inputs'] },
);

const body = fc
  .record({
    json: fc.oneof(
      { weight: 4, arbitrary: requestJson.map((value) => JSON.stringify(value)) },
      fc.constant(GOOD),
      fc.json(),
      fc.string(),
    ),
    tail: fc.uint8Array({ maxLength: 24 }),
    cut: fc.integer({ min: 0, max: 3 }),
    flip: fc.option(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }))),
    stated: fc.oneof(
      { weight: 5, arbitrary: fc.constant('right' as const) },
      fc.constant('none' as const),
      fc.integer({ min: -1, max: 200 }),
    ),
  })
  .map(({ json, tail, cut, flip, stated }) => {
    const text = Buffer.from(json);
    const whole = Buffer.concat([text, tail]).subarray(0, text.byteLength + tail.byteLength - cut);
    if (flip !== null && whole.byteLength > 0) whole[flip[0] % whole.byteLength] = flip[1];
    return { whole, jsonBytes: stated === 'right' ? text.byteLength : stated === 'none' ? undefined : stated };
  });

const memory = memoryAccess(undefined, true, { bodyBytesMax: 0, share: new BodyBudget(0).open() });

test('the parser answers every body with tensors or with an error that names a field', () => {
  fc.assert(
    fc.property(body, ({ whole, jsonBytes }) => {
      try {
        const { inputs } = parseInfer(
          whole,
          jsonBytes === undefined ? undefined : Math.max(0, jsonBytes),
          {},
          1 << 16,
          memory,
        );
        for (const { data } of inputs) expect(data.byteLength).toBeLessThan(1 << 16);
      } catch (error) {
        expect(error).toBeInstanceOf(ServingError);
        expect(error).toMatchObject({ code: 'invalid-argument', field: expect.stringMatching(/./) });
      }
    }),
    { numRuns: 3000 },
  );
});

test('the server answers every body, and a good one after it', async () => {
  const model = fc.constantFrom('echo-fp32', 'echo-int64', 'echo-bytes', 'echo-bool', 'echo-two', 'matrix');
  const encoding = fc.constantFrom(undefined, undefined, undefined, 'gzip', 'deflate', 'br', 'identity');
  await fc.assert(
    fc.asyncProperty(model, body, encoding, async (name, { whole, jsonBytes }, coding) => {
      const headers: Record<string, string> = {};
      if (jsonBytes !== undefined) headers['inference-header-content-length'] = String(jsonBytes);
      if (coding !== undefined) headers['content-encoding'] = coding;
      const url = `${server.url}/v2/models/${name}/infer`;
      const answer = await fetch(url, { method: 'POST', body: whole, headers, signal: AbortSignal.timeout(5000) });
      const text = await answer.text();
      // An entry at an inner value may lack what the echo needs; that is the echo's, not the front's.
      if (name !== 'echo-two') expect([200, 400, 413]).toContain(answer.status);
      if (answer.status !== 200) {
        expect(answer.headers.get('content-type')).toBe('application/json');
        expect(JSON.parse(text)).toEqual({ error: expect.any(String) });
      }
      const good = await fetch(`${server.url}/v2/models/echo-fp32/infer`, { method: 'POST', body: GOOD });
      await good.arrayBuffer();
      expect(good.status).toBe(200);
    }),
    { numRuns: 400 },
  );
});

test('every path is routed or refused', () => {
  const segment = fc.oneof(
    fc.constantFrom('v2', 'models', 'm', 'versions', '1', 'infer', 'ready', 'health', '%', '%2f', ''),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(segment, { maxLength: 7 }), (segments) => {
      const target = `/${segments.join('/')}`;
      if (!isOipTarget(target)) return;
      try {
        expect(parseOipRoute(target).call).toBeTypeOf('string');
      } catch (error) {
        expect(error).toMatchObject({ code: 'invalid-argument', field: 'version' });
      }
    }),
  );
});
