// `tidegate train`, `tidegate job` and `tidegate model lineage` against a real service: what they print, where, and how they end.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { makeContext } from '@tidegate/cloud-hub/cli/context.js';
import { runProgram } from '@tidegate/cloud-hub/cli/program.js';
import { trainRequest } from '@tidegate/cloud-hub/cli/train.js';
import type { Version } from '@tidegate/shared/wire/admin-api.js';
import { createJobSchema, jobSchema, lineageSchema } from '@tidegate/shared/wire/training-api.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { recordedStreams } from '../../support/silent-streams.js';
import { temporaryFolders } from '../../support/temporary-folder.js';
import { serveTraining, type TrainingApi } from '../../support/training-api.js';
import { openTrainingDesk, type TrainingDesk } from '../../support/training-desk.js';

const folder = temporaryFolders('cli-train');
const BINARY = fileURLToPath(new URL('../../../cloud-hub/bin/tidegate.js', import.meta.url));
const TRAIN = ['train', '--model', 'tiny', '--parent', '1', '--dataset', 'hard@1', '--batch-size', '2'];
let desk: TrainingDesk;
let served: TrainingApi;

beforeAll(async () => {
  desk = await openTrainingDesk(folder());
  served = await serveTraining(desk);
});
afterAll(async () => {
  await served.close();
  await desk.closing.run();
});

const environment = () => ({ TIDEGATE_HUB: served.url, TIDEGATE_TOKEN: 'admin' });

async function run(args: string[], isTTY = false): Promise<{ code: number; out: string; err: string }> {
  const streams = recordedStreams();
  Object.assign(streams.stderr, { isTTY, columns: 70 });
  const context = makeContext({ ...streams, stdin: Readable.from(['']) }, environment());
  return { code: await runProgram(args, context), out: streams.out(), err: streams.err() };
}

/** In front of the hub; cuts the line instead of handing on the first answer. Returns its address and what came through. */
async function lossyLine(): Promise<{ url: string; seen: string[]; close: () => void }> {
  const seen: string[] = [];
  const line = createServer((request, response) => {
    void (async () => {
      const body = await text(request);
      const headers = request.headers as Record<string, string>;
      const sent = { authorization: headers['authorization']!, 'content-type': 'application/json' };
      const key = headers['idempotency-key'];
      const answer = await fetch(`${served.url}${request.url}`, {
        method: request.method!,
        headers: key === undefined ? sent : { ...sent, 'idempotency-key': key },
        ...(body === '' ? {} : { body }),
      });
      seen.push(`${request.method} ${request.url} ${answer.status}`);
      if (seen.length === 1) request.socket.destroy();
      else response.writeHead(answer.status).end(await answer.text());
    })();
  });
  line.listen(0, '127.0.0.1');
  await once(line, 'listening');
  const url = `http://127.0.0.1:${(line.address() as AddressInfo).port}`;
  return { url, seen, close: () => line.close() };
}

describe('train', () => {
  test('makes one job where the answer was lost on the way', async () => {
    const line = await lossyLine();
    const streams = recordedStreams();
    const context = makeContext(
      { ...streams, stdin: Readable.from(['']) },
      { ...environment(), TIDEGATE_HUB: line.url },
    );
    const before = (await desk.training.jobs.list({ limit: 100 })).length;
    expect(await runProgram([...TRAIN, '--seed', '1', '--max-steps', '3', '--detach'], context)).toBe(0);
    line.close();
    expect(line.seen).toEqual(['POST /api/v1/jobs 201', 'POST /api/v1/jobs 200']);
    const jobs = await desk.training.jobs.list({ limit: 100 });
    expect([jobs.length - before, `${jobs[0]!.id}\n`]).toEqual([1, streams.out()]);
    await desk.reaches(jobs[0]!.id, 'succeeded');
  });

  test('follows the job to its version, with plain lines where there is no terminal', async () => {
    const ran = await run([...TRAIN, '--seed', '1', '--max-steps', '3', '--slice', 'slice', '--label', 'cli']);
    expect(ran.code).toBe(0);
    expect(ran.out).toMatch(/^SET +ROLE +METRIC +SAMPLES +PARENT +RESULT +CHANGE\n/);
    expect(ran.out).toMatch(/hard@1 +held-out +accuracy +100 +0\.8 +0\.9 +\+0\.1\n/);
    expect(ran.out).toMatch(/slice@1 +slice +accuracy +100 +0\.8 +0\.85 +\+0\.05\n/);
    expect(ran.out).toMatch(/\ntiny@\d+ from tiny@1 in \d+ s\n$/);
    expect(ran.err).not.toContain('\r');
    expect(ran.err).toMatch(/succeeded\n$/);
  });

  test('writes one line over and over on a terminal', async () => {
    const ran = await run([...TRAIN, '--seed', '1', '--max-steps', '100', '--batch-size', '20'], true);
    expect(ran.code).toBe(0);
    expect(ran.err).toContain('\r\u001b[Ktraining  step ');
    expect(ran.err).toMatch(/step \d+\/100 {2}loss [\d.]+ {2}right 50\.0% {2}rate 0\.1/);
    expect(Math.max(...ran.err.split('\r').map((line) => line.trimEnd().length))).toBeLessThanOrEqual(
      70 + '\u001b[K'.length,
    );
  });

  test('prints the job as JSON', async () => {
    const ran = await run([...TRAIN, '--seed', '1', '--max-steps', '3', '--json']);
    expect(jobSchema.parse(JSON.parse(ran.out))).toMatchObject({ state: 'succeeded', evaluation: { passed: true } });
  });

  test('a job that fails is exit code 1 with the reason', async () => {
    const ran = await run([...TRAIN, '--seed', '5']);
    expect(ran).toMatchObject({ code: 1, err: expect.stringMatching(/job j\w+ failed: sample .*'cat' is no class/) });
  });

  test('a version that may not roll out is exit code 1 too, with the set that fell', async () => {
    const ran = await run([...TRAIN, '--seed', '2', '--max-steps', '2']);
    expect(ran).toMatchObject({
      code: 1,
      out: expect.stringMatching(/hard@1 +held-out +accuracy +100 +0\.8 +0\.7 +-0\.1\n/),
      err: expect.stringMatching(/tidegate: tiny@\d+ may not roll out: accuracy on what hard@1 holds out fell/),
    });
  });

  test('what can’t be trained is said before anything is queued', async () => {
    const ran = await run([...TRAIN, '--freeze', 'conv*', '--seed', '1']);
    expect(ran).toMatchObject({ code: 1, err: expect.stringContaining('conv* names no parameter; they are fc1') });
    expect(await run([...TRAIN, '--rate', 'fc1'])).toMatchObject({ code: 2, err: expect.stringContaining('--rate') });
    expect(await run([...TRAIN, '--epochs', 'many'])).toMatchObject({ code: 2 });
    expect(await run([...TRAIN, '--memory-limit', 'lots'])).toMatchObject({ code: 2 });
    expect(await run([...TRAIN, '--optimizer', 'lion'])).toMatchObject({ code: 2 });
    expect(await run(['train', '--model', 'tiny'])).toMatchObject({ code: 2 });
  });

  test('Ctrl-C lets go of the job, which goes on, and says how to follow and to end it', async () => {
    const args = [...TRAIN, '--seed', '1', '--max-steps', '100000'];
    const child = spawn(process.execPath, [BINARY, ...args], {
      env: { ...process.env, ...environment() },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let err = '';
    const training = new Promise<void>((resolve) => {
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        err += text;
        if (err.includes('step')) resolve();
      });
    });
    const ended = once(child, 'close');
    await training;
    child.kill('SIGINT');
    expect(await ended).toEqual([1, null]);
    const id = /job (j\w+) goes on; follow it: tidegate job follow \1; end it: tidegate job cancel \1/.exec(err)?.[1];
    expect((await desk.training.jobs.get(id!))?.state).toBe('running');
    const cancelled = await run(['job', 'cancel', id!]);
    expect(cancelled).toMatchObject({ code: 0, out: `${id} cancelled by token:admin\n` });
  });

  test('every option becomes its field', () => {
    const request = trainRequest({
      model: 'm',
      parent: '1',
      dataset: ['a', 'b@2'],
      slice: ['c@1'],
      graph: 'g.onnx',
      label: 'v2',
      epochs: '5',
      maxSteps: '9',
      batchSize: '4',
      accumulate: '2',
      optimizer: 'sgd',
      learningRate: '1e-3',
      momentum: '0.8',
      weightDecay: '0',
      schedule: 'linear',
      warmupSteps: '3',
      clipNorm: '0.5',
      loss: 'mse',
      freeze: ['conv*', 'bn?'],
      rate: ['fc=a=0.1', 'x=2'],
      fromScratch: true,
      seed: '8',
      priority: '-3',
      threads: '2',
      memoryLimit: '512MiB',
      maxDrop: '2%',
    });
    expect(createJobSchema.parse(JSON.parse(JSON.stringify(request)))).toEqual({
      model: 'm',
      parent: '1',
      datasets: ['a', 'b@2'],
      slices: ['c@1'],
      graph: 'g.onnx',
      label: 'v2',
      priority: -3,
      threads: 2,
      memoryLimitBytes: 2 ** 29,
      maxDrop: 0.02,
      parameters: {
        epochs: 5,
        maxSteps: 9,
        batchSize: 4,
        accumulate: 2,
        optimizer: 'sgd',
        learningRate: 0.001,
        momentum: 0.8,
        weightDecay: 0,
        schedule: 'linear',
        warmupSteps: 3,
        clipNorm: 0.5,
        loss: 'mse',
        freeze: ['conv*', 'bn?'],
        rates: [
          { pattern: 'fc=a', factor: 0.1 },
          { pattern: 'x', factor: 2 },
        ],
        fromScratch: true,
        seed: 8,
      },
    });
  });
});

describe('job', () => {
  test('detached, listed, shown and followed', async () => {
    const detached = await run([...TRAIN, '--seed', '1', '--max-steps', '40', '--detach']);
    expect(detached).toMatchObject({ code: 0, out: expect.stringMatching(/^j\w+\n$/), err: '' });
    const id = detached.out.trim();
    expect((await run(['job', 'follow', id])).out).toMatch(/tiny@\d+ from tiny@1/);
    const listed = await run(['job', 'list', '--model', 'tiny', '--state', 'succeeded']);
    expect(listed.out).toMatch(new RegExp(`^JOB +PARENT[^\\n]*\\n${id} +tiny@1 +hard@1 +succeeded +\\d+ `));
    const shown = await run(['job', 'show', id]);
    expect(shown.out).toMatch(new RegExp(`^${id} {2}tiny@1 on hard@1 {2}succeeded\n`));
    expect(shown.out).toContain("3 epochs of batches of 2, adamw at 0.001 (cosine), from version 1's weights, seed 1");
    expect(jobSchema.parse(JSON.parse((await run(['job', 'show', id, '--json'])).out)).id).toBe(id);
  });

  test('one that isn’t there', async () => {
    for (const verb of ['show', 'follow', 'cancel']) {
      expect(await run(['job', verb, 'j0'])).toMatchObject({ code: 1, err: expect.stringContaining('no job j0') });
    }
    expect(await run(['job', 'list', '--state', 'asleep'])).toMatchObject({ code: 2 });
  });
});

describe('model show', () => {
  test('says of a trained version whether it passed, and of a published one nothing', async () => {
    const passed = await desk.reaches((await desk.create(1)).id, 'succeeded');
    const worse = await desk.reaches((await desk.create(2)).id, 'succeeded');
    const shown = async (version: number) => (await run(['model', 'show', `tiny@${version}`])).out;
    expect(await shown(passed.version!)).toContain(
      '\npassed its evaluation: not worse than its parent: accuracy on what',
    );
    expect(await shown(worse.version!)).toContain(
      '\nmay not roll out: accuracy on what hard@1 holds out fell from 0.8',
    );
    expect(await shown(1)).not.toMatch(/evaluation|roll out/);
    const all = (await run(['model', 'show', 'tiny'])).out.split('\n');
    expect(all.find((line) => line.startsWith(`${worse.version} `))).toContain('may not roll out: accuracy on what');
    const json = JSON.parse((await run(['model', 'show', `tiny@${worse.version}`, '--json'])).out) as Version;
    expect(json.evaluation).toEqual({ passed: false, reason: worse.evaluation!.reason });
  });
});

describe('model lineage', () => {
  test('draws what a version was made from', async () => {
    const { id } = await desk.create(1, { slices: ['slice'] });
    const { version } = await desk.reaches(id, 'succeeded');
    const ran = await run(['model', 'lineage', `tiny@${version}`]);
    expect(ran.out.split('\n')).toEqual([
      expect.stringMatching(new RegExp(`^tiny@${version} {2}[0-9a-f]{12} {2}ready {2}evaluation passed {2}20`)),
      expect.stringMatching(
        new RegExp(`^└─ job ${id} {2}adamw at 0\\.001, 3 epochs of batches of 2, seed 1, from weights`),
      ),
      '   │    accuracy held-out hard@1: 0.8 -> 0.9',
      '   │    accuracy slice slice@1: 0.8 -> 0.85',
      expect.stringMatching(/^ {3}├─ tiny@1 {2}\(1\.0\) {2}[0-9a-f]{12} {2}ready/),
      '   ├─ dataset hard@1  trained on  80 train  20 held-out  from model=tiny',
      '   └─ dataset slice@1  judged by  80 train  20 held-out  from model=tiny',
      '',
    ]);
    const json = await run(['model', 'lineage', `tiny@${version}`, '--json']);
    expect(lineageSchema.parse(JSON.parse(json.out)).nodes).toHaveLength(5);
  });

  test('needs a version', async () => {
    expect(await run(['model', 'lineage', 'tiny'])).toMatchObject({ code: 2, err: expect.stringContaining('tiny@2') });
    expect(await run(['model', 'lineage', 'tiny@77'])).toMatchObject({ code: 1 });
  });
});
