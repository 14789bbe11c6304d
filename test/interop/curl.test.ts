// curl against a real agent process: the protocol by hand, raw bodies, compression and what HTTP itself can do wrong.
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { serveAgent, type ServedAgent } from './served-agent.js';

const run = promisify(execFile);
const hasCurl = await run('curl', ['--version']).then(
  () => true,
  () => false,
);
if (!hasCurl) console.warn('SKIPPED: curl: this machine has none');

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly json: Record<string, unknown>;
}

describe.skipIf(!hasCurl)('curl', () => {
  let agent: ServedAgent;
  let folder: string;
  let passed = 0;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tidegate-curl-'));
    agent = await serveAgent();
  });
  afterAll(async () => {
    await agent?.stop();
    await rm(folder, { recursive: true, force: true });
    console.log(`curl: ${passed} checks passed`);
  });

  const check = (name: string, body: () => Promise<void>): void =>
    test(name, async () => {
      await body();
      passed++;
    });

  async function curl(path: string, ...args: string[]): Promise<Answer> {
    const head = join(folder, 'head.txt');
    const options = { encoding: 'buffer', maxBuffer: 1 << 27 } as const;
    const { stdout } = await run('curl', ['-sS', '-D', head, ...args, `http://${agent.address}${path}`], options);
    const blocks = (await readFile(head, 'latin1')).trim().split(/\r\n\r\n/);
    const [status = '', ...lines] = (blocks.at(-1) ?? '').split('\r\n');
    const headers = Object.fromEntries(
      lines.map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
    const allJson = headers['content-type'] === 'application/json' ? stdout.byteLength : 0;
    const jsonBytes = Number(headers['inference-header-content-length'] ?? allJson);
    const text = stdout.subarray(0, jsonBytes).toString('utf8');
    const json = text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : {};
    return { status: Number(status.split(' ')[1]), headers, body: stdout.subarray(jsonBytes), json };
  }

  const ask = (x: unknown, shape: unknown): string =>
    JSON.stringify({ id: 'c', inputs: [{ name: 'x', datatype: 'FP32', shape, data: x }] });

  check('health and metadata', async () => {
    expect((await curl('/v2/health/live')).json).toEqual({ live: true });
    expect((await curl('/v2/health/ready')).json).toEqual({ ready: true });
    expect((await curl('/v2')).json).toHaveProperty('extensions');
    expect((await curl('/v2/models/digits/versions/1')).json).toMatchObject({ name: 'digits', versions: ['1'] });
    expect((await curl('/v2/health/live', '-I')).status).toBe(200);
  });

  check('JSON in and out', async () => {
    const { status, headers, json } = await curl('/v2/models/identity-fp32/infer', '-d', ask([1, 2.5], [2]));
    expect(status).toBe(200);
    expect(headers['content-type']).toBe('application/json');
    expect(headers['tidegate-placement']).toMatch(/^(edge|cache)$/);
    expect(headers['tidegate-variant-digest']).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(json).toMatchObject({ id: 'c', outputs: [{ name: 'y', shape: [2], data: [1, 2.5] }] });
  });

  check('a picture as a raw body', async () => {
    const picture = join(agent.pictures, 'clean-04.png');
    const raw = ['-H', 'Inference-Header-Content-Length: 0', '--data-binary', `@${picture}`];
    const { status, json } = await curl('/v2/models/ocr-line/infer', ...raw);
    expect(status).toBe(200);
    const text = (json['outputs'] as { name: string; data: string[] }[]).find(({ name }) => name === 'text');
    const expected = JSON.parse(await readFile(join(agent.pictures, 'expected.json'), 'utf8')) as Record<
      string,
      string
    >;
    expect(text?.data[0]?.replaceAll(' ', '')).toBe(expected['clean-04.png']?.replaceAll(' ', ''));
  });

  check('numbers as a raw body', async () => {
    const file = join(folder, 'raw.bin');
    await writeFile(file, new Float32Array([1, 2, 3]));
    const raw = ['-H', 'Inference-Header-Content-Length: 0', '--data-binary', `@${file}`];
    const { json } = await curl('/v2/models/identity-fp32/infer', ...raw);
    expect(json).toMatchObject({ outputs: [{ shape: [3], data: [1, 2, 3] }] });
  });

  check('a compressed answer to --compressed over one coding', async () => {
    const data = Array.from({ length: 5000 }, (_, i) => i % 5);
    const file = join(folder, 'large.json');
    await writeFile(file, ask([[data]], [1, 1, 5000]));
    const args = ['-H', 'Accept-Encoding: gzip', '--data-binary', `@${file}`];
    const packed = await curl('/v2/models/identity-fp32-3d/infer', ...args);
    expect(packed.headers['content-encoding']).toBe('gzip');
    const { json } = await curl('/v2/models/identity-fp32-3d/infer', '--compressed', '--data-binary', `@${file}`);
    expect((json['outputs'] as { data: number[] }[])[0]?.data).toEqual(data);
  });

  check('a body large enough for Expect: 100-continue', async () => {
    const file = join(folder, 'two-mib.json');
    await writeFile(file, ask([[[1]]], [1, 1, 1]) + ' '.repeat(2 << 20));
    const { status } = await curl('/v2/models/identity-fp32-3d/infer', '--data-binary', `@${file}`);
    expect(status).toBe(200);
  });

  check('chunked requests', async () => {
    const chunked = ['-H', 'Transfer-Encoding: chunked', '-d', ask([1], [1])];
    expect((await curl('/v2/models/identity-fp32/infer', ...chunked)).status).toBe(200);
  });

  check('errors', async () => {
    const cases: [string, string[], number, RegExp][] = [
      ['/v2/models/nosuch', [], 404, /nosuch/],
      ['/v2/models/identity-fp32/infer', [], 405, /GET is not allowed here, POST is/],
      ['/v2/models/identity-fp32/infer', ['-d', '{"inputs":'], 400, /not valid JSON/],
      ['/v2/models/identity-fp32/infer', ['-d', ask([Number.NaN], [1]).replace('null', 'NaN')], 400, /NaN is not JSON/],
      ['/v2/models/identity-fp32/infer', ['-d', ask([1], [2 ** 52, 2 ** 52])], 400, /inputs\[0\]\.shape: the product/],
      [
        '/v2/models/identity-fp32/infer',
        ['-d', ask([1], [1]), '-H', 'tidegate-cache: maybe'],
        400,
        /header tidegate-cache/,
      ],
      ['/v2/nothing', [], 404, /no such path/],
    ];
    for (const [path, args, status, text] of cases) {
      const answer = await curl(path, ...args);
      expect([path, answer.status]).toEqual([path, status]);
      expect(answer.headers['content-type']).toBe('application/json');
      expect(Object.keys(answer.json)).toEqual(['error']);
      expect(answer.json['error']).toMatch(text);
    }
    expect((await curl('/v2/models/identity-fp32/infer', '-d', ask([1], [1]))).status).toBe(200);
  });

  check('an oversized body is refused before it is sent whole, and says so', async () => {
    const file = join(folder, 'oversized.bin');
    await writeFile(file, Buffer.alloc(80 << 20));
    const answer = await curl('/v2/models/identity-fp32/infer', '--data-binary', `@${file}`);
    expect(answer.status).toBe(413);
    expect(answer.json['error']).toMatch(/larger than the 16777216 bytes that a request body that is all JSON/);
    expect((await curl('/v2/models/identity-fp32/infer', '-d', ask([1], [1]))).status).toBe(200);
  });

  check('generate, and its stream of events', async () => {
    const generate = '/v2/models/identity-bytes/generate';
    const { status, json } = await curl(generate, '-d', '{"id":"g","x":"text in"}');
    expect(status).toBe(200);
    expect(json).toMatchObject({ id: 'g', model_name: 'identity-bytes', y: 'text in' });
    const streamed = await curl(`${generate}_stream`, '-N', '-d', '{"x":["two","texts"]}');
    expect(streamed.headers['content-type']).toBe('text/event-stream; charset=utf-8');
    const [event = '', ...rest] = streamed.body.toString().split('\n\n');
    expect(rest).toEqual(['']);
    expect(JSON.parse(event.replace(/^data: /, ''))).toMatchObject({ y: ['two', 'texts'] });
    const wrong = await curl(`${generate}_stream`, '-d', '{"x":7}');
    expect([wrong.status, wrong.json['error']]).toEqual([400, 'x: expected a string, got 7']);
  });

  check('the unix socket', async () => {
    const { status } = await curl('/v2/health/ready', '--unix-socket', agent.unixSocket);
    expect(status).toBe(200);
  });
});
