import { createServer, type AddressInfo } from 'node:net';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { doctorVerb } from '@tidegate/edge-agent/cli/doctor.js';
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
  const { findings } = JSON.parse(out) as { findings: { check: string; ok: boolean; detail: string }[] };
  return { code, err, ok: Object.fromEntries(findings.map(({ check, ok }) => [check, ok])), findings };
}

describe('doctor', () => {
  it('runs an inference, writes the data folder, and finds the port free', async () => {
    const { code, ok, findings } = await examine(['--data-dir', join(folder, 'data'), '--http-port', '0']);
    expect(ok).toEqual({ device: true, inference: true, 'data folder': true, 'agent or port': true });
    expect(code).toBe(0);
    expect(findings[1]?.detail).toMatch(/^ort-(capi|binding) .* on cpu/);
  });

  it('fails where the data folder is a file and the port is taken by something else', async () => {
    const file = join(folder, 'file');
    await writeFile(file, '');
    const other = createServer((socket) => socket.end('no HTTP')).listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    const { port } = other.address() as AddressInfo;
    const { code, ok, err } = await examine(['--data-dir', join(file, 'data'), '--http-port', String(port)]);
    other.close();
    expect(ok).toMatchObject({ inference: true, 'data folder': false, 'agent or port': false });
    expect(code).toBe(1);
    expect(err).toContain('2 checks failed');
  });
});
