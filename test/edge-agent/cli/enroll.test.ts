import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { enrollVerb } from '@tidegate/edge-agent/cli/enroll.js';
import { runProgram } from '@tidegate/edge-agent/cli/program.js';
import { startDeviceHub, type DeviceHub } from '../../support/device-hub.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('enroll-verb');
let hub: DeviceHub;
beforeAll(async () => {
  hub = await startDeviceHub(newFolder());
});
afterAll(() => hub.close());

async function run(argv: string[], environment: Record<string, string> = {}) {
  const texts = ['', ''];
  const [stdout, stderr] = [0, 1].map(
    (which) =>
      new Writable({
        write: (chunk: Buffer, _encoding, done) => {
          texts[which] += chunk.toString();
          done();
        },
      }),
  ) as unknown as [NodeJS.WriteStream, NodeJS.WriteStream];
  const code = await runProgram(['enroll', ...argv], [enrollVerb], { stdout, stderr, environment, version: '0.0.0' });
  return { code, stdout: texts[0]!, stderr: texts[1]! };
}

describe('tidegate-agent enroll', () => {
  it('enrols, and says as whom', async () => {
    const dataDir = newFolder();
    const token = await hub.newToken();
    const done = await run(['--hub', hub.url, '--token', token, '--name', 'cam-1', '--data-dir', dataDir]);
    expect(done).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^enrolled as cam-1 in group field/),
      stderr: '',
    });
    const again = await run(['--json', '--data-dir', dataDir], { TIDEGATE_ENROL_TOKEN: token });
    expect(JSON.parse(again.stdout)).toMatchObject({ deviceId: 'cam-1', group: 'field', deviceUrl: hub.url });
  });

  it('fails with the reason in one line, and leaves no identity', async () => {
    const dataDir = newFolder();
    const used = await hub.newToken(1);
    await run(['--token', used, '--data-dir', newFolder()]);
    const failed = await run(['--token', used, '--data-dir', dataDir]);
    expect(failed).toEqual({ code: 1, stdout: '', stderr: 'tidegate-agent: the enrolment token has no uses left\n' });
    expect(existsSync(join(dataDir, 'identity', 'identity.json'))).toBe(false);
  });

  it.each([
    [[], '--token'],
    [['--token', 'tg1.x', '--hub', 'http://hub:9000'], '--hub http://hub:9000'],
    [['--token', 'tg1.x', '--hub', 'hub:9443'], '--hub hub:9443'],
    [['--token', 'tg1.x', '--name', 'Kitchen Camera'], '--name Kitchen Camera'],
  ])('wrong usage: %j', async (argv, named) => {
    expect(await run([...argv, '--data-dir', newFolder()])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(named),
    });
  });
});
