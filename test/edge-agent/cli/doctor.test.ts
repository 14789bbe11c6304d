import { createServer, type AddressInfo } from 'node:net';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { doctorVerb } from '@tidegate/edge-agent/cli/doctor.js';
import type { Finding } from '@tidegate/edge-agent/doctor/finding.js';
import { runProgram } from '@tidegate/edge-agent/cli/program.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidegate-doctor-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

async function examine(args: string[]) {
  let [out, err] = ['', ''];
  const collect = (add: (text: string) => void): NodeJS.WriteStream =>
    ({ write: (text: string) => (add(text), true) }) as unknown as NodeJS.WriteStream;
  const code = await runProgram(['doctor', '--json', ...args], [doctorVerb], {
    stdout: collect((text) => (out += text)),
    stderr: collect((text) => (err += text)),
    environment: {},
    version: '1',
  });
  const { findings } = JSON.parse(out) as { findings: Finding[] };
  const levels = Object.fromEntries(findings.map(({ check, level }) => [check, level]));
  const found = (check: string): string => findings.find((one) => one.check === check)?.found ?? '';
  const mend = (check: string): string => findings.find((one) => one.check === check)?.mend ?? '';
  return { code, err, levels, found, mend };
}

describe('doctor', () => {
  it('runs an inference, writes the data folder, and finds the port free', async () => {
    const { code, levels, found } = await examine([
      '--data-dir',
      join(folder, 'data'),
      '--http-port',
      '0',
      '--grpc-port',
      '0',
    ]);
    const checks = [
      'inference',
      'data folder',
      'state database',
      'models',
      'identity',
      'agent or port',
      'gRPC port',
      'hub',
    ];
    for (const check of checks) expect([check, levels[check]]).toEqual([check, 'ok']);
    expect(code).toBe(0);
    expect(found('inference')).toMatch(/^ort-(capi|binding) .* on cpu/);
    expect(found('hub')).toContain('not enrolled');
  });

  it('fails where the data folder is a file and the port is taken by something else', async () => {
    const file = join(folder, 'file');
    await writeFile(file, '');
    const other = createServer((socket) => socket.end('no HTTP')).listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    const { port } = other.address() as AddressInfo;
    const { code, levels, err, found, mend } = await examine([
      '--data-dir',
      join(file, 'data'),
      '--http-port',
      String(port),
    ]);
    other.close();
    expect(levels).toMatchObject({ inference: 'ok', 'data folder': 'fail', models: 'fail', 'agent or port': 'fail' });
    if (process.platform === 'linux') expect(found('agent or port')).toContain(`taken by process ${process.pid} (`);
    expect(mend('agent or port')).toContain('--http-port');
    expect(code).toBe(1);
    expect(err).toContain('4 checks failed');
  });
});
