// A job's process as the hub holds it, one real process for each way in which it can end.
import * as fs from 'node:fs';
import { join } from 'node:path';
import { endLeftover, TrainerProcess } from '@tidegate/cloud-hub/training/jobs/trainer-process.js';
import type { JobMessage } from '@tidegate/cloud-hub/training/job-process/job-order.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { expect, test } from 'vitest';
import { ManualClock } from '../../../support/manual-clock.js';
import { temporaryFolders } from '../../../support/temporary-folder.js';
import { isAlive } from '../../../support/training-desk.js';

const folder = temporaryFolders('trainer-process');

/** Runs this text as a job's process. */
function start(script: string, clock = new ManualClock()) {
  const place = folder();
  const entry = join(place, 'main.mjs');
  fs.writeFileSync(entry, script);
  const heard: JobMessage[] = [];
  const complaints: string[] = [];
  const log = { ...silentLog, warn: (_fields: object, message: string) => void complaints.push(message) };
  let first = (): void => undefined;
  const spoke = new Promise<void>((resolve) => (first = resolve));
  const onMessage = (message: JobMessage): void => {
    heard.push(message);
    first();
  };
  const process = new TrainerProcess({ entry, folder: place, label: 'j1' }, { clock, log, onMessage });
  return { process, clock, heard, complaints, spoke, place };
}

const READY = `process.send({ kind: 'progress', phase: 'preparing', progress: { step: 0, steps: 0, epoch: 0 } });`;
const IDLE = `setInterval(() => undefined, 1000);`;

test('its last word is heard, however soon it ends after it', async () => {
  const { process, heard } = start(`process.send({ kind: 'failed', message: 'no label' }); process.exitCode = 1;
    process.disconnect();`);
  expect(await process.ended).toMatchObject({ code: 1, signal: null, failure: 'no label' });
  expect(heard).toEqual([{ kind: 'failed', message: 'no label' }]);
});

test('deaf to SIGTERM, it is killed when its time is over, with what it had started', async () => {
  const { process, clock, spoke, place } = start(`
    import { spawn } from 'node:child_process';
    import { writeFileSync } from 'node:fs';
    process.on('SIGTERM', () => undefined);
    const child = spawn(process.execPath, ['-e', ${JSON.stringify(IDLE)}], { stdio: 'ignore' });
    writeFileSync(process.argv[2] + '/child', String(child.pid));
    ${READY} ${IDLE}`);
  await spoke;
  const child = Number(fs.readFileSync(join(place, 'child'), 'utf8'));
  process.leave();
  process.leave();
  clock.advance(14_999);
  expect(isAlive(process.pid!)).toBe(true);
  clock.advance(1);
  expect(await process.ended).toMatchObject({ code: null, signal: 'SIGKILL' });
  await expect.poll(() => isAlive(child)).toBe(false);
});

test('what it wrote on stderr before it broke is there', async () => {
  const { process } = start(`throw new TypeError('no such thing');`);
  expect(await process.ended).toMatchObject({ code: 1, stderr: expect.stringContaining('TypeError: no such thing') });
});

test('a message that is none is complained of, and does no harm', async () => {
  const { process, heard, complaints } = start(`process.send({ kind: 'gossip' }); ${READY} process.disconnect();`);
  expect(await process.ended).toMatchObject({ code: 0 });
  expect([heard.length, complaints]).toEqual([1, ['a training job said something unexpected']]);
});

test('killed after its end, nobody is harmed', async () => {
  const { process } = start('');
  await process.ended;
  process.kill();
  process.leave();
});

test('a leftover is ended only where it works in that folder', async () => {
  const { process, spoke, place } = start(`${READY} ${IDLE}`);
  await spoke;
  await endLeftover(process.pid!, '/somewhere/else', systemClock);
  expect(isAlive(process.pid!)).toBe(true);
  await endLeftover(process.pid!, place, systemClock);
  expect((await process.ended).signal).toBe('SIGKILL');
  expect(isAlive(process.pid!)).toBe(false); // after its end was heard: until then there is a dead one
  await endLeftover(process.pid!, place, systemClock); // gone: nothing to do
});
