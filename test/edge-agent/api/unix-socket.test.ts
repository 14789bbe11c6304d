// Real sockets: with undici and with curl, stale ones, and ones that are somebody's.
import { execFile, spawn } from 'node:child_process';
import { lstat, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Client } from 'undici';
import { listenOnUnixSocket } from '@tidegate/edge-agent/api/unix-socket.js';
import type { HttpServer } from '@tidegate/shared/serving/http/http-server.js';

let folder: string;
let path: string;
let servers: HttpServer[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidegate-socket-'));
  path = join(folder, 'agent.sock');
  servers = [];
});
afterEach(async () => {
  await Promise.all(servers.map((server) => server.close(1000)));
  await rm(folder, { recursive: true });
});

const handler = (_request: IncomingMessage, response: ServerResponse): void => void response.end('"here"');
async function listen(access: 'owner' | 'group' = 'owner'): Promise<HttpServer> {
  const server = await listenOnUnixSocket({ path, access, handler });
  servers.push(server);
  return server;
}
const modeOf = async (): Promise<number> => (await lstat(path)).mode & 0o777;

/** A socket file whose owner was killed. */
async function leaveDeadSocket(): Promise<void> {
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => console.log('up'))`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
  expect((await lstat(path)).isSocket()).toBe(true);
}

describe('the unix socket', () => {
  test('answers undici and curl', async () => {
    await listen();
    const client = new Client('http://localhost', { socketPath: path });
    const answer = await client.request({ path: '/', method: 'GET' });
    expect(await answer.body.json()).toBe('here');
    await client.close();
    const { stdout } = await promisify(execFile)('curl', ['-sS', '--unix-socket', path, 'http://localhost/']);
    expect(stdout).toBe('"here"');
  });

  test('is of its owner, or of its group too; the mask of the process stays', async () => {
    const mask = process.umask();
    const server = await listen();
    expect(await modeOf()).toBe(0o600);
    await server.close(0);
    await expect(lstat(path)).rejects.toMatchObject({ code: 'ENOENT' });
    await listen('group');
    expect(await modeOf()).toBe(0o660);
    expect(process.umask()).toBe(mask);
  });

  test('takes the place of a dead one', async () => {
    await leaveDeadSocket();
    await listen();
    await new Promise<void>((resolve, reject) => {
      const socket = createConnection(path, () => resolve());
      socket.once('error', reject);
      socket.unref();
      socket.once('connect', () => socket.destroy());
    });
  });

  test('leaves a living one alone', async () => {
    await listen();
    await expect(listen()).rejects.toMatchObject({ code: 'port-taken', message: expect.stringContaining(path) });
    const { stdout } = await promisify(execFile)('curl', ['-sS', '--unix-socket', path, 'http://localhost/']);
    expect(stdout).toBe('"here"');
  });

  test('leaves what is no socket alone, and a link to a dead one', async () => {
    await writeFile(path, 'precious');
    await expect(listen()).rejects.toMatchObject({ code: 'address-unusable' });
    await rm(path);
    await leaveDeadSocket();
    const dead = path;
    path = join(folder, 'link.sock');
    await symlink(dead, path);
    await expect(listen()).rejects.toMatchObject({ code: 'address-unusable' });
    expect((await lstat(dead)).isSocket()).toBe(true);
  });

  test('says so where the folder is missing', async () => {
    path = join(folder, 'nosuch', 'agent.sock');
    await expect(listen()).rejects.toThrow(`--unix-socket: the folder ${join(folder, 'nosuch')} does not exist`);
  });
});
