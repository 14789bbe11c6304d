import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { TrustedTime } from '@tidegate/shared/tuf/trusted-time.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('trusted-time');
const buildTimeMs = Date.UTC(2026, 10, 1);
const hourMs = 3_600_000;

const open = (path: string, clock: ManualClock): Promise<TrustedTime> =>
  TrustedTime.open({ path, buildTimeMs }, { files: systemFiles, clock });

describe('trusted time (B1)', () => {
  it('is the build time under a clock at 1970, and passes from there', async () => {
    const clock = new ManualClock(0);
    const time = await open(join(newFolder(), 't.json'), clock);
    expect(time.nowMs()).toBe(buildTimeMs);
    expect(time.clockState()).toBe('behind');
    clock.advance(5 * hourMs);
    expect(time.nowMs()).toBe(buildTimeMs + 5 * hourMs);
  });

  it('follows a plausible clock, also one that is months ahead of what was verified', async () => {
    const now = buildTimeMs + 400 * 24 * hourMs;
    const time = await open(join(newFolder(), 't.json'), new ManualClock(now));
    expect(time.clockState()).toBe('plausible');
    expect(time.nowMs()).toBe(now);
  });

  it('does not follow a clock at 2040', async () => {
    const time = await open(join(newFolder(), 't.json'), new ManualClock(Date.UTC(2040, 0, 1)));
    expect(time.clockState()).toBe('ahead');
    expect(time.nowMs()).toBe(buildTimeMs);
  });

  it('keeps what verified metadata said, over restarts and a clock that is set back', async () => {
    const path = join(newFolder(), 't.json');
    const clock = new ManualClock(buildTimeMs + 1000);
    await (await open(path, clock)).observe(buildTimeMs + 90 * 24 * hourMs);
    clock.setWall(buildTimeMs);
    const time = await open(path, clock);
    expect(time.nowMs()).toBe(buildTimeMs + 90 * 24 * hourMs);
    await time.observe(buildTimeMs + 10); // older metadata
    expect(time.floorMs()).toBe(buildTimeMs + 90 * 24 * hourMs);
    expect((await open(path, clock)).floorMs()).toBe(buildTimeMs + 90 * 24 * hourMs);
  });

  it.each(['', '{"trustedTimeMs":', '{"trustedTimeMs":"x"}', 'null'])('starts with a damaged file %j', async (text) => {
    const path = join(newFolder(), 't.json');
    writeFileSync(path, text);
    expect((await open(path, new ManualClock(0))).nowMs()).toBe(buildTimeMs);
  });
});
