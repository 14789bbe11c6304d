import { byteAnswer, sendBytes } from '@tidegate/cloud-hub/api/byte-answer.js';
import Fastify from 'fastify';
import { expect, test } from 'vitest';

test('bytes that are a view of others are sent alone, under their type', async () => {
  const app = Fastify();
  app.get('/', (_request, reply) => sendBytes(reply, 'image/png', Uint8Array.of(1, 2, 3, 4).subarray(1, 3)));
  const answer = await app.inject('/');
  expect([answer.headers['content-type'], [...answer.rawPayload]]).toEqual(['image/png', [2, 3]]);
});

test('each of the types stands in the documentation', () =>
  expect(Object.keys(byteAnswer('image/png', 'image/jpeg').content)).toEqual(['image/png', 'image/jpeg']));
