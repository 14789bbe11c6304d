// Bad input against real processes: the same requests to an agent and to a hub, publishing and enrolling against a hub. Each is refused
// naming the field, and a good one works right after it.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { tensor } from '@tidegate/shared/tensor/tensor.js';
import { hexOf, sha256 } from '@tidegate/shared/wire/digest.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { assemble } from '../../examples/ocr-line/assemble.mjs';
import { examplesFolder, runAgent, startAgent, type AgentProcess } from '../support/agent-process.js';
import { BARE_GRAPH, writeBarePackage } from '../support/bare-package.js';
import { runTidegate, startHubProcess, type HubProcess } from '../support/hub-process.js';
import { pngOf } from '../support/png-bomb.js';

const BODY_MAX = '1MiB';
const digits = join(examplesFolder, 'digits');
const folder = mkdtempSync(join(tmpdir(), 'tidegate-bad-input-'));
let hub: HubProcess;
let agent: AgentProcess;
let goodPicture: Uint8Array;

beforeAll(async () => {
  const ocr = await assemble(join(folder, 'ocr-line'));
  goodPicture = readFileSync(join(ocr, 'goldens/clean-01.png'));
  agent = await startAgent(['serve', digits, ocr, '--max-body-size', BODY_MAX]);
  hub = await startHubProcess(join(folder, 'hub'), ['--max-body-size', BODY_MAX]);
  await runTidegate(hub, ['model', 'publish', digits]);
  const yaml = readFileSync(join(ocr, 'model.yaml'), 'utf8');
  writeFileSync(join(ocr, 'model.yaml'), yaml.replace(/^goldens:.*$/m, '')); // they take a while in every variant
  await runTidegate(hub, ['model', 'publish', ocr]);
});
afterAll(async () => {
  await agent?.stop();
  await hub?.stop();
  rmSync(folder, { recursive: true, force: true });
});

interface Bad {
  readonly model?: string;
  readonly body: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}
interface Answer {
  readonly status: number;
  readonly field: string | null;
  readonly error: string;
}

async function post(url: string, { model = 'digits', body, headers = {} }: Bad, token?: string): Promise<Answer> {
  const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const answer = await fetch(`${url}/v2/models/${model}/infer`, {
    method: 'POST',
    headers: { ...headers, ...authorization },
    body: body as NonNullable<RequestInit['body']>,
  });
  const { error = '' } = (await answer.json()) as { error?: string };
  return { status: answer.status, field: answer.headers.get('tidegate-error-field'), error };
}

const image = (extra: object = {}): string => {
  const data = Array.from({ length: 784 }, () => 0);
  return JSON.stringify({ inputs: [{ name: 'image', datatype: 'FP32', shape: [1, 1, 28, 28], data, ...extra }] });
};

/** A binary request: the JSON, then the tensor's bytes, more or fewer than stated where `sent` says so. */
function binary(input: object, bytes: Uint8Array, sent: Uint8Array = bytes): Bad {
  const parameters = { binary_data_size: bytes.byteLength };
  const json = Buffer.from(JSON.stringify({ inputs: [{ ...input, parameters }] }));
  const headers = { 'inference-header-content-length': String(json.byteLength) };
  return { body: Buffer.concat([json, sent]), headers };
}
const picture = (encoded: Uint8Array): Bad => ({
  ...binary({ name: 'picture', datatype: 'BYTES', shape: [1] }, encodeBytes([encoded])),
  model: 'ocr-line',
});

const zeros = new Uint8Array(784 * 4);
const raw = { name: 'image', datatype: 'FP32', shape: [1, 1, 28, 28] };
const bad: readonly [string, Bad, number, string, RegExp][] = [
  ['an unknown model', { model: 'nosuch', body: image() }, 404, 'model', /nosuch/],
  [
    'a wrong shape',
    { body: image({ shape: [1, 1, 784] }) },
    400,
    'inputs[0].shape',
    /takes \[-1,1,28,28\].*got \[1,1,784\]/,
  ],
  ['a wrong type', { body: image({ datatype: 'FP64' }) }, 400, 'inputs[0].datatype', /takes FP32, got FP64/],
  ['a wrong element', { body: image({ data: ['x'] }) }, 400, 'inputs[0].data', /784/],
  [
    'a shape that overflows',
    { body: image({ shape: [2 ** 31, 2 ** 31, 28, 28] }) },
    400,
    'inputs[0].shape',
    /overflows/,
  ],
  ['a NaN literal', { body: image().replace('[0,', '[NaN,') }, 400, 'body', /NaN is not JSON/],
  ['a truncated body', { body: image().slice(0, 300) }, 400, 'body', /not valid JSON/],
  [
    'truncated binary data',
    binary(raw, zeros, zeros.subarray(4)),
    400,
    'inputs[0].parameters.binary_data_size',
    /left/,
  ],
  ['surplus binary data', binary(raw, zeros, new Uint8Array(784 * 4 + 1)), 400, 'body', /left over/],
  ['an oversized body', { body: Buffer.alloc(2 ** 20 + 1, 0x20) }, 413, 'body', /larger than the/],
  [
    'a compression bomb',
    { body: gzipSync(Buffer.alloc(2 ** 26, 0x20)), headers: { 'content-encoding': 'gzip' } },
    413,
    'body',
    /larger than the/,
  ],
  ['a picture that is none', picture(Buffer.from('no picture')), 400, 'picture', /no JPEG, PNG or WebP/],
  ['a picture bomb', picture(pngOf(30_000, 30_000)), 400, 'picture', /30000 x 30000; at most/],
];

describe.each(['agent', 'hub'] as const)('the %s', (side) => {
  const ask = (request: Bad): Promise<Answer> =>
    side === 'agent' ? post(agent.url, request) : post(hub.url, request, hub.token);

  test.each(bad)('refuses %s and answers the next', async (_, request, status, field, text) => {
    const refusal = await ask(request);
    expect(refusal.error).toMatch(text);
    expect(refusal).toMatchObject({ status, field });
    const good = request.model === 'ocr-line' ? picture(goodPicture) : { body: image() };
    const answer = await fetchOk(side, good);
    expect(answer).toBe(200);
  });

  test('refuses a body by its stated length, before it came, and answers the next', async () => {
    const url = side === 'agent' ? agent.url : hub.url;
    const headers = { 'content-length': String(2 ** 40), authorization: `Bearer ${hub.token}` };
    const sent = httpRequest(`${url}/v2/models/digits/infer`, { method: 'POST', headers });
    sent.on('error', () => undefined); // the server may end the connection once it has answered
    sent.flushHeaders();
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    expect(answer.statusCode).toBe(413);
    sent.destroy();
    expect(await fetchOk(side, { body: image() })).toBe(200);
  });
});

async function fetchOk(side: 'agent' | 'hub', { model = 'digits', body, headers = {} }: Bad): Promise<number> {
  const answer = await fetch(`${side === 'agent' ? agent.url : hub.url}/v2/models/${model}/infer`, {
    method: 'POST',
    headers: { ...headers, authorization: `Bearer ${hub.token}` },
    body: body as NonNullable<RequestInit['body']>,
  });
  await answer.arrayBuffer();
  return answer.status;
}

describe('publishing', () => {
  const publish = (from: string): Promise<string> => runTidegate(hub, ['model', 'publish', from]);
  const broken: readonly [string, (target: string) => void, RegExp][] = [
    ['broken YAML', (at) => writeFileSync(join(at, 'model.yaml'), 'name: ['), /model\.yaml, line \d/],
    [
      'a field of the wrong type',
      (at) => writeBarePackage(at, 'bare', { inputs: '7' }),
      /model\.yaml, line \d+: inputs/,
    ],
    ['a broken graph', (at) => writeFileSync(join(at, 'm.onnx'), 'no graph'), /refused.*m\.onnx/],
    [
      'a graph that is cut off',
      (at) => writeFileSync(join(at, 'm.onnx'), readFileSync(join(at, 'm.onnx')).subarray(0, 60)),
      /refused.*m\.onnx/,
    ],
  ];

  test.each(broken)('refuses %s with the reason and takes a good package after it', async (name, damage, text) => {
    const at = join(folder, `package-${name.replaceAll(' ', '-')}`);
    writeBarePackage(at, 'bare');
    damage(at);
    await expect(publish(at)).rejects.toThrow(text);
    const good = join(folder, 'package-good');
    expect(await publish(writeBarePackage(good, 'bare'))).toMatch(/^bare@\d+ .*ready/);
  });
});

describe('the device port', () => {
  const deviceUrl = (): string => `https://127.0.0.1:${hub.ports['device']}`;
  const newToken = async (expires: string): Promise<string> =>
    (
      JSON.parse(
        await runTidegate(hub, ['group', 'token', 'create', '--group', 'g', '--expires', expires, '--json']),
      ) as {
        token: string;
      }
    ).token;
  const enroll = (token: string, to: string): ReturnType<typeof runAgent> =>
    runAgent(['enroll', '--hub', deviceUrl(), '--token', token, '--data-dir', join(folder, to)]);

  test('refuses an expired token and a damaged one, and enrols with a good one', async () => {
    const token = await newToken('1s');
    const expired = async (): Promise<string> => (await enroll(token, 'late')).stderr;
    await new Promise((resolve) => setTimeout(resolve, 1500)); // the token's own time
    expect(await expired()).toMatch(/token.*expired/);
    expect((await enroll('tg1.nonsense', 'none')).stderr).toMatch(/token/);
    expect((await enroll(await newToken('1h'), 'good')).code).toBe(0);
  });

  test('refuses a foreign certificate, and serves its own device', async () => {
    const [key, cert] = [join(folder, 'foreign.key'), join(folder, 'foreign.pem')];
    const subject = ['-subj', '/CN=intruder', '-days', '1', '-nodes'];
    const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
    await promisify(execFile)('openssl', ['req', '-x509', ...ec, ...subject, '-keyout', key, '-out', cert]);
    const tls = { key: readFileSync(key), cert: readFileSync(cert), rejectUnauthorized: false };
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      httpsRequest(`${deviceUrl()}/device/v1/desired`, tls, resolve).on('error', reject).end();
    });
    let text = '';
    for await (const chunk of answer.setEncoding('utf8')) text += String(chunk);
    expect(answer.statusCode).toBe(403);
    expect(text).toMatch(/certificate/);
    const own = await startAgent(['run', '--data-dir', join(folder, 'good')]);
    try {
      const devices = async (): Promise<string> => runTidegate(hub, ['device', 'list']);
      await expect.poll(devices, { timeout: 20_000, interval: 200 }).toContain('online');
    } finally {
      await own.stop();
    }
  });

  test('a blob tampered with on the hub never runs; once it is right again, the next version does', async () => {
    const quick = ['--waves', '100%', '--soak', '1s', '--probation', '1s', '--min-requests', '0', '--wait'];
    const rollOut = (version: number): Promise<string> =>
      runTidegate(hub, ['rollout', 'start', `guarded@${version}`, '--group', 'g', ...quick]);
    await runTidegate(hub, ['model', 'publish', writeBarePackage(join(folder, 'package-guarded'), 'guarded')]);
    const blob = join(folder, 'hub/content/blobs', hexOf(sha256(readFileSync(BARE_GRAPH))));
    const right = readFileSync(blob);
    const wrong = Buffer.from(right);
    wrong[wrong.byteLength - 20]! ^= 1;
    const own = await startAgent(['run', '--data-dir', join(folder, 'good')]);
    const x = [tensor('x', 'FP32', [1, 4], new Uint8Array(16))];
    try {
      chmodSync(blob, 0o600);
      writeFileSync(blob, wrong);
      await expect(rollOut(1)).rejects.toThrow(/m\.onnx|digest/);
      await expect(own.infer('guarded', x, { placement: 'local' })).rejects.toMatchObject({ code: 'not-found' });
      writeFileSync(blob, right);
      const next = writeBarePackage(join(folder, 'package-next'), 'guarded', { version: "'2.0'" });
      expect(await runTidegate(hub, ['model', 'publish', next])).toMatch(/^guarded@2 .*ready/);
      await rollOut(2);
      expect((await own.infer('guarded', x, { placement: 'local' })).version).toBe('2');
    } finally {
      await own.stop();
    }
  });

  test('update metadata tampered with on the hub installs nothing; once they are right again, the version does', async () => {
    const quick = ['--waves', '100%', '--soak', '1s', '--probation', '1s', '--min-requests', '0'];
    const next = writeBarePackage(join(folder, 'package-third'), 'guarded', { version: "'3.0'" });
    expect(await runTidegate(hub, ['model', 'publish', next])).toMatch(/^guarded@3 .*ready/);
    const metadata = join(folder, 'hub/tuf/metadata');
    const newest = readdirSync(metadata)
      .filter((name) => name.endsWith('.targets.json'))
      .sort((one, other) => Number.parseInt(one, 10) - Number.parseInt(other, 10))
      .at(-1);
    const file = join(metadata, newest ?? '');
    const right = readFileSync(file, 'utf8');
    const own = await startAgent(['run', '--data-dir', join(folder, 'good')]);
    const x = [tensor('x', 'FP32', [1, 4], new Uint8Array(16))];
    const version = async (): Promise<string> => (await own.infer('guarded', x, { placement: 'local' })).version;
    try {
      expect(await version()).toBe('2');
      chmodSync(file, 0o600);
      writeFileSync(file, right.replace('"variant":"fp32"', '"variant":"fp16"'));
      expect(readFileSync(file, 'utf8')).not.toBe(right);
      const arguments_ = ['rollout', 'start', 'guarded@3', '--group', 'g', ...quick];
      const refused = JSON.parse(await runTidegate(hub, [...arguments_, '--json'])) as { id: string };
      const told = async (): Promise<string> => runTidegate(hub, ['rollout', 'status', refused.id]);
      await expect.poll(told, { timeout: 60_000, interval: 300 }).toMatch(/targets|signature|metadata/);
      expect(await version()).toBe('2');
      writeFileSync(file, right);
      await expect.poll(version, { timeout: 60_000, interval: 300 }).toBe('3');
    } finally {
      writeFileSync(file, right);
      await own.stop();
    }
  });
});
