import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { runProgram } from '@tidegate/edge-agent/cli/program.js';
import { serveVerb } from '@tidegate/edge-agent/cli/serve.js';
import { statusVerb } from '@tidegate/edge-agent/cli/status.js';
import { UsageError, type Verb } from '@tidegate/edge-agent/cli/verb.js';
import { versionVerb } from '@tidegate/edge-agent/cli/version.js';
import { SettingsError } from '@tidegate/shared/system/settings.js';

function collector(): { stream: NodeJS.WriteStream; text(): string } {
  let all = '';
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      all += chunk.toString();
      done();
    },
  });
  return { stream: stream as unknown as NodeJS.WriteStream, text: () => all };
}

const failing =
  (error: Error): Verb =>
  (program) => {
    program.command('fail').action(() => {
      throw error;
    });
  };

async function run(argv: string[], verbs: Verb[] = [serveVerb, statusVerb, versionVerb]) {
  const [stdout, stderr] = [collector(), collector()];
  const context = { stdout: stdout.stream, stderr: stderr.stream, environment: {}, version: '1.2.3' };
  const code = await runProgram(argv, verbs, context);
  return { code, stdout: stdout.text(), stderr: stderr.text() };
}

describe('tidegate-agent', () => {
  it('prints its version', async () => {
    expect(await run(['version'])).toEqual({ code: 0, stdout: 'tidegate-agent 1.2.3\n', stderr: '' });
    expect(JSON.parse((await run(['version', '--json'])).stdout)).toMatchObject({ version: '1.2.3' });
    expect((await run(['--version'])).stdout).toBe('1.2.3\n');
  });

  it('exits 2 for wrong usage, 1 for failure, and says why in one line', async () => {
    expect((await run([])).code).toBe(2);
    expect(await run(['fly'])).toMatchObject({ code: 2, stdout: '' });
    expect((await run(['serve'])).code).toBe(2);
    expect((await run(['version', '--colour'])).code).toBe(2);
    expect(await run(['fail'], [failing(new UsageError('no such thing'))])).toMatchObject({
      code: 2,
      stderr: 'tidegate-agent: no such thing\n',
    });
    expect((await run(['fail'], [failing(new SettingsError('x', 'wrong'))])).code).toBe(2);
    expect((await run(['fail'], [failing(new Error('broke'))])).code).toBe(1);
  });

  it('shows settings with their variables and an example', async () => {
    const { code, stdout } = await run(['serve', '--help']);
    expect(code).toBe(0);
    expect(stdout).toContain('--http-port <PORT>');
    expect(stdout.replaceAll(/\s+/g, ' ')).toContain('[TIDEGATE_HTTP_PORT]');
    expect(stdout).toContain('Example:');
  });

  it('says that no agent answers, and where it looked', async () => {
    expect(await run(['status', '--http-port', '1'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no agent answers at 127.0.0.1:1') as string,
    });
    expect(await run(['status', '--unix-socket', '/nowhere.sock'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('/nowhere.sock') as string,
    });
  });
});
