import * as fs from 'node:fs/promises';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { StaticFiles } from '@tidegate/cloud-hub/api/static-files.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('static-files');
let server: Server;
let port: number;

beforeAll(async () => {
  const root = folder();
  await fs.mkdir(join(root, 'dist/assets'), { recursive: true });
  await fs.writeFile(join(root, 'secret.txt'), 'secret');
  await fs.writeFile(join(root, 'dist/index.html'), '<!doctype html>page');
  await fs.writeFile(join(root, 'dist/assets/main-abc.js'), 'run()');
  const files = await StaticFiles.load(join(root, 'dist'));
  server = createServer((req, res) => files.answer(req, res));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  port = (server.address() as AddressInfo).port;
});
afterAll(() => server.close());

/** Without fetch, which would tidy the path up. */
async function get(path: string, method = 'GET', headers: Record<string, string> = {}) {
  const sent = request({ port, path, method, headers, agent: false }).end();
  const [response] = (await once(sent, 'response')) as [import('node:http').IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks).toString() };
}

test('answers the page for / and for its views, never to be kept', async () => {
  for (const path of ['/', '/index.html', '/rollouts/r1', '/?x=1']) {
    const answer = await get(path);
    expect(answer).toMatchObject({ status: 200, body: '<!doctype html>page' });
    expect(answer.headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-cache',
      'x-content-type-options': 'nosniff',
    });
    expect(answer.headers['content-security-policy']).toContain("default-src 'self'");
  }
});

test('files with a hash in their name may be kept for ever; an unchanged page is 304', async () => {
  const script = await get('/assets/main-abc.js');
  expect(script).toMatchObject({ status: 200, body: 'run()' });
  expect(script.headers['cache-control']).toContain('immutable');
  expect(script.headers['content-type']).toContain('text/javascript');
  const { headers } = await get('/');
  expect(await get('/', 'GET', { 'if-none-match': String(headers['etag']) })).toMatchObject({ status: 304, body: '' });
});

test.each([
  '/../secret.txt',
  '/%2e%2e/secret.txt',
  '/assets/..%2f..%2fsecret.txt',
  '//etc/passwd.txt',
  '/assets/other.js',
])('%s is no file', async (path) => {
  const answer = await get(path);
  expect(answer.status).toBe(404);
  expect(answer.body).not.toContain('secret\n');
});

test('HEAD has no body; other methods are refused', async () => {
  expect(await get('/', 'HEAD')).toMatchObject({ status: 200, body: '' });
  expect((await get('/', 'POST')).status).toBe(405);
});

test('a console that is not built says so', async () => {
  const files = await StaticFiles.load(join(folder(), 'nothing'));
  expect(files.built).toBe(false);
  const other = createServer((req, res) => files.answer(req, res)).listen(0, '127.0.0.1');
  await once(other, 'listening');
  const answer = await fetch(`http://127.0.0.1:${(other.address() as AddressInfo).port}/`);
  expect(answer.status).toBe(404);
  expect(await answer.text()).toContain('npm run build:console');
  other.close();
});
