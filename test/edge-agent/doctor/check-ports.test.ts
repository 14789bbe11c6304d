import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { checkGrpcPort, checkUnixSocket, judgeServed } from '@tidegate/edge-agent/doctor/check-ports.js';
import { portOwner } from '@tidegate/edge-agent/doctor/port-owner.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('ports');

it('finds the process behind a listening port, and no other socket of that number', async () => {
  const root = newFolder();
  for (const folder of ['proc/net', 'proc/41/fd', 'proc/42/fd']) mkdirSync(join(root, folder), { recursive: true });
  const header = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode';
  const socket = (state: string, inode: number) =>
    `   0: 0100007F:1F40 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000  1000        0 ${inode} 1`;
  writeFileSync(join(root, 'proc/net/tcp'), [header, socket('01', 700), socket('0A', 701)].join('\n'));
  symlinkSync('socket:[700]', join(root, 'proc/41/fd/3'));
  symlinkSync('socket:[701]', join(root, 'proc/42/fd/9'));
  writeFileSync(join(root, 'proc/42/comm'), 'nginx\n');
  expect(await portOwner(8000, root)).toBe('42 (nginx)');
  expect(await portOwner(8001, root)).toBeUndefined();
  expect(await portOwner(8000, newFolder())).toBeUndefined();
});

it('wants the folder of the unix socket', async () => {
  const folder = newFolder();
  expect((await checkUnixSocket(join(folder, 's'))).level).toBe('ok');
  expect(await checkUnixSocket(join(folder, 'none', 's'))).toMatchObject({
    level: 'fail',
    mend: `mkdir -p ${join(folder, 'none')}`,
  });
  expect((await checkUnixSocket(undefined)).level).toBe('ok');
});

it('asks whether the gRPC port is free, unless it is off or the agent has it', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => other.once('listening', resolve));
  const grpcPort = (other.address() as AddressInfo).port;
  const nobody = { answers: false, reason: 'nobody' } as const;
  const agent = { answers: true, state: 'serving', version: '1', unloaded: [] } as const;
  const settings = { host: '127.0.0.1', grpcPort };
  expect(await checkGrpcPort(nobody, settings)).toMatchObject({
    level: 'fail',
    mend: expect.stringContaining('--grpc-port') as string,
  });
  expect(await checkGrpcPort(agent, settings)).toMatchObject({
    level: 'ok',
    found: expect.stringContaining('in use') as string,
  });
  other.close();
  await new Promise((resolve) => other.once('close', resolve));
  expect(await checkGrpcPort(nobody, settings)).toEqual({ level: 'ok', found: `127.0.0.1:${grpcPort} is free` });
  expect((await checkGrpcPort(agent, settings)).found).toContain('serves no gRPC there');
});

it('names models that the agent knows and does not serve', () => {
  const agent = { answers: true, state: 'serving', version: '1', unloaded: [] } as const;
  expect(judgeServed({ answers: false, reason: 'nobody' })).toBeUndefined();
  expect(judgeServed(agent)).toMatchObject({ level: 'ok' });
  expect(judgeServed({ ...agent, unloaded: [{ name: 'wide', reason: 'it needs 300 MiB' }] })).toMatchObject({
    level: 'warn',
    found: "'wide' is not loaded (it needs 300 MiB)",
    mend: expect.stringContaining('--memory-budget') as string,
  });
});
