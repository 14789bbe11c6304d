// The hub as a process: its life on one folder through SIGTERM, SIGKILL at inconvenient moments, and wrong starts.
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { uploadSchema, versionSchema, type Version } from '@tidegate/shared/wire/admin-api.js';
import { hexOf, sha256 } from '@tidegate/shared/wire/digest.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { assemble } from '../../examples/ocr-line/assemble.mjs';
import { examplesFolder } from '../support/agent-process.js';
import { runTidegate, startHubProcess, type HubProcess } from '../support/hub-process.js';

const HUB = fileURLToPath(new URL('../../cloud-hub/bin/tidegate-hub.js', import.meta.url));
let folder: string;
let hub: HubProcess;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidegate-hub-process-'));
  hub = await startHubProcess(join(folder, 'hub'));
});
afterAll(async () => {
  await hub.stop();
  await rm(folder, { recursive: true, force: true });
});

function tidegateHub(...args: string[]): Promise<{ code: number; stderr: string; stdout: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [HUB, ...args], (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stderr, stdout });
    });
  });
}

async function call(
  method: string,
  path: string,
  body?: NonNullable<RequestInit['body']>,
  type = 'application/json',
): Promise<Response> {
  return fetch(`${hub.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${hub.token}`, ...(body === undefined ? {} : { 'content-type': type }) },
    ...(body === undefined ? {} : { body, duplex: 'half' }),
  } as RequestInit);
}

async function versionOf(model: string, version: number): Promise<Version> {
  return versionSchema.parse(await (await call('GET', `/api/v1/models/${model}/versions/${version}`)).json());
}

describe('starting', () => {
  test('on a folder that is none, with a wrong setting, on a port that is taken: each says what to do', async () => {
    const none = await tidegateHub('serve', '--data-dir', join(folder, 'none'));
    expect(none).toMatchObject({ code: 1, stderr: expect.stringContaining('tidegate-hub init') });
    const wrong = await tidegateHub('serve', '--data-dir', join(folder, 'hub'), '--http-port', 'many');
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringMatching(/--http-port: "many".*0 to 65535/) });
    expect(await tidegateHub('serve', '--speed', '9')).toMatchObject({ code: 2 });
    const twice = await tidegateHub('serve', '--data-dir', join(folder, 'hub'), '--http-port', '0');
    expect(twice).toMatchObject({ code: 1, stderr: expect.stringContaining('in use by another hub') });
    await tidegateHub('init', '--data-dir', join(folder, 'second'));
    const port = new URL(hub.url).port;
    const ports = ['--http-port', port, '--grpc-port', '0', '--device-port', '0', '--mqtt-port', '0'];
    const taken = await tidegateHub('serve', '--data-dir', join(folder, 'second'), ...ports);
    expect(taken).toMatchObject({ code: 1, stderr: expect.stringMatching(/--http-port.*taken/) });
  });
});

describe('killed at an inconvenient moment', () => {
  test('in the middle of an upload: what came is kept, only the rest is sent again (B7)', async () => {
    const data = randomBytes(6 * 1024 * 1024);
    const file = { path: 'weights.bin', sizeBytes: data.byteLength, digest: sha256(data) };
    const created = await call('POST', '/api/v1/uploads', JSON.stringify({ model: 'big', files: [file] }));
    const { id } = uploadSchema.parse(await created.json());
    const path = `/api/v1/uploads/${id}/files/${hexOf(file.digest)}`;
    const half = data.subarray(0, 3 * 1024 * 1024);
    expect((await call('PUT', `${path}?offset=0`, half, 'application/octet-stream')).status).toBe(200);
    // A piece whose connection dies with the hub.
    const dying = call(
      'PUT',
      `${path}?offset=${half.byteLength}`,
      endless(data.subarray(half.byteLength)),
      'application/octet-stream',
    );
    dying.catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await hub.kill();
    await expect(dying).rejects.toThrow();
    hub = await hub.again();
    const now = uploadSchema.parse(await (await call('GET', `/api/v1/uploads/${id}`)).json()).files[0]!;
    expect(now.receivedBytes).toBeGreaterThanOrEqual(half.byteLength);
    const rest = await call(
      'PUT',
      `${path}?offset=${now.receivedBytes}`,
      data.subarray(now.receivedBytes),
      'application/octet-stream',
    );
    expect(await rest.json()).toEqual({ receivedBytes: data.byteLength, complete: true });
  });

  test('right after a publish: the version goes on to ready by itself', async () => {
    await runTidegate(hub, ['model', 'publish', join(examplesFolder, 'digits'), '--no-wait']);
    await hub.kill();
    hub = await hub.again();
    await expect.poll(async () => (await versionOf('digits', 1)).state, { timeout: 100_000 }).toBe('ready');
    const { variants } = await versionOf('digits', 1);
    expect(variants.filter((row) => row.outcome === 'chosen').length).toBe(1);
  });
});

describe('the command line against it', () => {
  test('publishes, is refused with the reason, and asks a picture', async () => {
    // Without its goldens, which take a while to run through every variant.
    const ocr = await assemble(join(folder, 'ocr-line'));
    const yaml = await readFile(join(ocr, 'model.yaml'), 'utf8');
    await writeFile(join(ocr, 'model.yaml'), yaml.replace(/^goldens:.*$/m, ''));
    expect(await runTidegate(hub, ['model', 'publish', ocr])).toMatch(/^ocr-line@1 .*ready/);
    await mkdir(join(folder, 'broken'));
    await writeFile(join(folder, 'broken/m.onnx'), 'no model');
    await writeFile(
      join(folder, 'broken/model.yaml'),
      'name: broken\nlicence: MIT\ninputs: [{name: x, datatype: FP32, shape: [1]}]\noutputs: [{name: y, datatype: FP32, shape: [1]}]\npipeline: [{graph: m.onnx}]\n',
    );
    await expect(runTidegate(hub, ['model', 'publish', join(folder, 'broken')])).rejects.toThrow(/refused.*m\.onnx/);
    const picture = join(examplesFolder, 'ocr-line/blurred/blurred-01.png');
    const answer = await runTidegate(hub, ['infer', 'ocr-line', picture]);
    expect(answer).toMatch(/text +BYTES\[1\] +\S/);
    expect(answer).toContain('placement=hub');
  });
});

test('SIGTERM drains: what is under way is finished, new requests are not taken, exit code 0', async () => {
  const data = randomBytes(3 * 1024 * 1024);
  const file = { path: 'weights.bin', sizeBytes: data.byteLength, digest: sha256(data) };
  const created = await call('POST', '/api/v1/uploads', JSON.stringify({ model: 'big', files: [file] }));
  const { id } = uploadSchema.parse(await created.json());
  let sendRest = (): void => undefined;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      controller.enqueue(new Uint8Array(data.subarray(0, 2 * 1024 * 1024)));
      sendRest = () => {
        controller.enqueue(new Uint8Array(data.subarray(2 * 1024 * 1024)));
        controller.close();
      };
    },
  });
  const piece = call('PUT', `/api/v1/uploads/${id}/files/${hexOf(file.digest)}`, body, 'application/octet-stream');
  const receivedBytes = async (): Promise<number> =>
    uploadSchema.parse(await (await call('GET', `/api/v1/uploads/${id}`)).json()).files[0]!.receivedBytes;
  await expect.poll(receivedBytes).toBeGreaterThan(0);
  const stopped = hub.stop();
  await expect
    .poll(() =>
      call('GET', '/api/v1/health').then(
        () => 'answered',
        () => 'refused',
      ),
    )
    .toBe('refused');
  sendRest();
  expect(await (await piece).json()).toEqual({ receivedBytes: data.byteLength, complete: true });
  expect(await stopped).toBe(0);
  hub = await hub.again();
  expect((await call('GET', '/api/v1/health')).status).toBe(200);
});

/** A body that sends some and then never ends. */
function endless(some: Uint8Array): ReadableStream<Uint8Array> {
  let sent = false;
  return new ReadableStream({
    pull: (controller) => {
      if (sent) return new Promise(() => undefined);
      sent = true;
      controller.enqueue(some.slice(0, some.byteLength - 1));
      return undefined;
    },
  });
}
