// Every check on an enrolled device beside its real hub; and again when the hub is gone.
import { expect, it } from 'vitest';
import { readAgentSettings } from '@tidegate/edge-agent/config/read-settings.js';
import { examine } from '@tidegate/edge-agent/doctor/examine.js';
import { enrol } from '@tidegate/edge-agent/identity/enrol.js';
import { systemClock as clock } from '@tidegate/shared/system/clock.js';
import { systemFiles as files } from '@tidegate/shared/system/files.js';
import { startDeviceHub } from '../../support/device-hub.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('examine');

it('examines an enrolled device from the processor to the hub', async () => {
  const hub = await startDeviceHub(newFolder());
  const dataDir = newFolder();
  await enrol({ dataDir, token: await hub.newToken() }, { files, clock }, new AbortController().signal);
  const settings = readAgentSettings({ flags: { dataDir, httpPort: '0', grpcPort: '0' }, environment: {} });
  const modules = { files, clock, askAgent: () => Promise.resolve({ answers: false, reason: 'nobody' } as const) };
  const levels = async () => new Map((await examine(settings, modules)).map(({ check, level }) => [check, level]));

  const well = await levels();
  for (const check of ['inference', 'data folder', 'identity', 'hub port', 'hub certificate', 'hub answer', 'clock']) {
    expect([check, well.get(check)]).toEqual([check, 'ok']);
  }
  await hub.close();
  const alone = await levels();
  expect(alone.get('hub port')).toBe('fail');
  expect([alone.has('hub answer'), alone.get('clock'), alone.get('inference')]).toEqual([false, 'ok', 'ok']);
});
