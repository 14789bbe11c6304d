// What `run` refuses; what it does is held by test/faults/activation-kill.test.ts, with real processes.
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runProgram } from '@tidegate/edge-agent/cli/program.js';
import { runVerb } from '@tidegate/edge-agent/cli/run.js';
import { enrol } from '@tidegate/edge-agent/identity/enrol.js';
import { AgentState } from '@tidegate/edge-agent/state/agent-state.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { startDeviceHub } from '../../support/device-hub.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('run');

async function run(args: readonly string[]) {
  let [out, err] = ['', ''];
  const collect = (add: (text: string) => void): NodeJS.WriteStream =>
    ({ write: (text: string) => (add(text), true) }) as unknown as NodeJS.WriteStream;
  const code = await runProgram(['run', '--log-level', 'silent', ...args], [runVerb], {
    stdout: collect((text) => (out += text)),
    stderr: collect((text) => (err += text)),
    environment: {},
    version: '1',
  });
  return { code, out, err };
}

describe('tidegate-agent run', () => {
  it('says what to do where the device is not enrolled', async () => {
    const { code, out, err } = await run(['--data-dir', join(folder(), 'none')]);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toContain('holds no identity; run: tidegate-agent enroll');
  });

  it('takes no other hub than the one that the device is enrolled at', async () => {
    expect(await run(['--hub', 'https://elsewhere.example'])).toMatchObject({ code: 2 });
  });

  it('names the port that is taken, and leaves the data folder free', async () => {
    const hub = await startDeviceHub(folder());
    const modules = { files: systemFiles, clock: systemClock };
    const dataDir = join(folder(), 'data');
    await enrol({ dataDir, token: await hub.newToken() }, modules, new AbortController().signal);
    await hub.close();
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    const port = String((other.address() as AddressInfo).port);
    const { code, out, err } = await run(['--data-dir', dataDir, '--http-port', port]);
    await new Promise((resolve) => other.close(resolve));
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toContain(port);
    (await AgentState.open(dataDir, { ...modules, log: silentLog })).close();
  });
});
