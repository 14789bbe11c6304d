// OpenLineage events as a receiver gets them: a real HTTP server that refuses when told to.
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { runEvent, runIdOf, type RunEvent } from '@tidegate/cloud-hub/training/lineage/open-lineage-event.js';
import { OpenLineageSender } from '@tidegate/cloud-hub/training/lineage/open-lineage-sender.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../../support/manual-clock.js';
import { temporaryFolders } from '../../../support/temporary-folder.js';
import { openTrainingDesk } from '../../../support/training-desk.js';

const folder = temporaryFolders('open-lineage');
let server: Server;
let url: string;
let received: RunEvent[];
/** Statuses of the next answers; then 201. */
let answers: number[];

beforeAll(async () => {
  server = createServer((request, response) => {
    void textOf(request).then((text) => {
      const status = answers.shift() ?? 201;
      if (status === 201) received.push(JSON.parse(text) as RunEvent);
      response.writeHead(status).end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v1/lineage`;
});
afterAll(() => void server.close());
beforeEach(() => {
  received = [];
  answers = [];
});

async function textOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text;
}

describe('jobs of a hub that is told where', () => {
  test('START and COMPLETE with inputs and output, FAIL with the reason, ABORT; one run each', async () => {
    const desk = await openTrainingDesk(folder(), { openlineageUrl: url });
    const good = await desk.reaches((await desk.create(1, { slices: ['slice'] })).id, 'succeeded');
    const bad = await desk.reaches((await desk.create(5)).id, 'failed');
    const stopped = await desk.create(1, {}, { maxSteps: 100_000, batchSize: 5 });
    await desk.becomes(stopped.id, ({ state, progress }) => state === 'running' && progress !== undefined);
    await desk.training.jobs.cancel(stopped.id, 'token:t');
    await expect.poll(() => received.length).toBe(6);
    await desk.closing.run();
    expect(received.map(({ eventType, run }) => [eventType, run.runId])).toEqual([
      ['START', runIdOf(good.id)],
      ['COMPLETE', runIdOf(good.id)],
      ['START', runIdOf(bad.id)],
      ['FAIL', runIdOf(bad.id)],
      ['START', runIdOf(stopped.id)],
      ['ABORT', runIdOf(stopped.id)],
    ]);
    const [start, complete, , fail] = received;
    expect(start).toMatchObject({
      schemaURL: 'https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent',
      job: { namespace: 'tidegate', name: 'train.tiny' },
      outputs: [],
    });
    expect(complete?.inputs.map(({ name, facets }) => [name, (facets['version'] as never)['datasetVersion']])).toEqual([
      ['datasets/hard', '1'],
      ['datasets/slice', '1'],
      ['models/tiny', '1'],
    ]);
    expect(complete?.outputs).toMatchObject([
      { name: 'models/tiny', facets: { version: { datasetVersion: String(good.version) } } },
    ]);
    expect(fail?.run.facets).toMatchObject({ errorMessage: { message: expect.stringContaining('cat') } });
  });

  test('a run’s id is a UUID, the same for the same job', () => {
    expect(runIdOf('j1')).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(runIdOf('j1')).toBe(runIdOf('j1'));
    expect(runIdOf('j1')).not.toBe(runIdOf('j2'));
  });
});

describe('a receiver in trouble', () => {
  const event = (id: string): RunEvent => {
    const job = { id, model: 'tiny', parent: 1, datasets: [], slices: [], detail: undefined, version: undefined };
    return runEvent(job as never, 'START', 'urn:test', 0);
  };
  let sender: OpenLineageSender;
  afterEach(() => sender.close());

  test('is asked again, in order, and what it takes later is not lost', async () => {
    const clock = new ManualClock();
    sender = new OpenLineageSender(url, { clock, log: silentLog });
    answers = [503, 429];
    sender.send(event('j1'));
    sender.send(event('j2'));
    const turning = setInterval(() => clock.advance(1000), 1);
    await sender.idle();
    clearInterval(turning);
    expect(received.map(({ run }) => run.runId)).toEqual([runIdOf('j1'), runIdOf('j2')]);
  });

  test('that does not take an event for what it is, or is not there, costs that event and nothing else', async () => {
    const said: string[] = [];
    const log = { ...silentLog, warn: (fields: object) => void said.push(String((fields as never)['reason'])) };
    sender = new OpenLineageSender(url, { clock: systemClock, log });
    answers = [400];
    sender.send(event('j1'));
    sender.send(event('j2'));
    await sender.idle();
    expect(received).toHaveLength(1);
    expect(said).toEqual([`${url} answered 400`]);
    const clock = new ManualClock();
    const absent = new OpenLineageSender('http://127.0.0.1:9/', { clock, log });
    absent.send(event('j3'));
    const turning = setInterval(() => clock.advance(10_000), 1);
    await absent.idle();
    clearInterval(turning);
    expect(said[1]).toContain('ECONNREFUSED');
  });

  test('never holds up more than the queue’s limit; the oldest go', async () => {
    const dropped: object[] = [];
    const log = { ...silentLog, warn: (fields: object) => void dropped.push(fields) };
    sender = new OpenLineageSender('http://127.0.0.1:9/', { clock: new ManualClock(), log });
    for (let at = 0; at < 1005; at += 1) sender.send(event(`j${at}`));
    expect(dropped).toHaveLength(4); // one is under way
    await sender.close();
    expect(dropped.length).toBe(1005);
  });
});
