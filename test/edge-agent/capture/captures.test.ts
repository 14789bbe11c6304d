// The whole of capture but the network: real files, real decisions; time, randomness and the hub are the test's own.
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Captures, LIMIT_QUEUE_ENTRIES, WRITE_AFTER_MS } from '@tidegate/edge-agent/capture/captures.js';
import { PrivacyDecisions } from '@tidegate/edge-agent/privacy/privacy-decisions.js';
import { DeviceApiError } from '@tidegate/edge-agent/sync/device-api.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { seededRandom } from '@tidegate/shared/system/random.js';
import { tensor } from '@tidegate/shared/tensor/tensor.js';
import { privacySchema, type Privacy } from '@tidegate/shared/wire/privacy.js';
import { decodeSample, inputsDigest, type Sample } from '@tidegate/shared/wire/sample.js';
import { digitInput } from '../../support/digit-inputs.js';
import { ManualClock } from '../../support/manual-clock.js';
import { digitAnswer, digitsYaml, finishedDigit } from '../../support/own-answers.js';
import { recordedLog } from '../../support/recorded-log.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('captures');
const CAPTURED = privacySchema.parse({ capture: 'hub' });
const NOT_CAPTURED = privacySchema.parse({ capture: 'none' });

function setUp(dataDir = folder()) {
  const clock = new ManualClock();
  const log = recordedLog();
  const arrived: Sample[] = [];
  const state = {
    hub: true,
    heard: true,
    served: CAPTURED as Privacy | undefined,
    desired: CAPTURED as Privacy | undefined,
  };
  const captures = new Captures(
    { dataDir, limitBytes: 1_000_000 },
    {
      privacy: new PrivacyDecisions({ served: () => state.served, desired: () => state.desired, log }),
      heard: () => state.heard,
      send: async (_hex, body) => {
        if (!state.hub) throw new DeviceApiError('unreachable', 'no hub');
        arrived.push(decodeSample(body));
      },
      files: systemFiles,
      clock,
      random: seededRandom(1),
      log,
    },
  );
  /** Time passes until the queue has been written. */
  const written = async (): Promise<void> => {
    clock.advance(WRITE_AFTER_MS);
    await captures.stop();
  };
  const stored = (): string[] => readdirSync(join(dataDir, 'captures'));
  return { dataDir, clock, log, arrived, state, captures, written, stored };
}

let device: ReturnType<typeof setUp>;
beforeEach(() => {
  device = setUp();
  device.state.hub = false;
});
afterEach(() => device.captures.stop());

const low = (seed: number) => finishedDigit(digitAnswer(seed, [0.25]));

describe('capturing', () => {
  it('does nothing on the path of the request but keep a reference', async () => {
    const { captures, clock, stored, written } = device;
    captures.start();
    captures.finished(low(1));
    expect(captures.status.captured).toEqual([]);
    expect(clock.timerCount).toBe(1); // all of it happens when that is due
    await written();
    expect(captures.status).toMatchObject({
      captured: [{ model: 'digits', reason: 'low-confidence', count: 1 }],
      waiting: { count: 1, bytes: 4096 },
    });
    expect(stored()).toHaveLength(1);
  });

  it('sends what it kept, with where it came from', async () => {
    const { captures, clock, arrived, state, stored } = device;
    state.hub = true;
    captures.start();
    const finished = low(7);
    captures.finished(finished);
    clock.advance(WRITE_AFTER_MS);
    await expect.poll(() => captures.status.sent, { interval: 2 }).toBe(1);
    await expect.poll(stored, { interval: 2 }).toEqual([]);
    const { versionDigest, variantDigest } = finished;
    expect(arrived[0]?.facts).toEqual({
      model: 'digits',
      versionDigest,
      variantDigest,
      capturedAtMs: Date.UTC(2026, 0, 1),
      confidence: 0.25,
      reason: 'low-confidence',
    });
    expect(inputsDigest(arrived[0]?.inputs ?? [])).toBe(inputsDigest(digitInput(7)));
  });

  it('captures also where the hub gave the better answer, but only what the device computed itself', async () => {
    const { captures, written } = device;
    captures.start();
    captures.finished(finishedDigit(digitAnswer(1, [0.25]), { outcome: 'hub' }));
    captures.finished(finishedDigit(undefined, { outcome: 'hub' }));
    captures.finished(finishedDigit(undefined, { outcome: 'cache' }));
    captures.finished(finishedDigit(digitAnswer(2, [0.25]), { outcome: 'refused' })); // its caller went away
    captures.finished(finishedDigit(digitAnswer(3, [0.25]), { outcome: 'model-error' }));
    await written();
    expect(captures.status.waiting.count).toBe(1);
  });

  it('makes a sample of each row of a batch that is chosen', async () => {
    const { captures, written, arrived, dataDir } = device;
    captures.start();
    captures.finished(finishedDigit(digitAnswer(5, [0.25, 0.75, 0.125])));
    await written();
    const next = setUp(dataDir);
    next.captures.start();
    await expect.poll(() => next.captures.status.sent, { interval: 2 }).toBe(2);
    await next.captures.stop();
    expect(arrived).toEqual([]);
    const shapes = next.arrived.map(({ inputs }) => inputs[0]?.shape);
    expect(shapes).toEqual([
      [1, 1, 28, 28],
      [1, 1, 28, 28],
    ]);
    expect(new Set(next.arrived.map(({ facts }) => facts.confidence))).toEqual(new Set([0.25, 0.125]));
  });
});

describe('every way around the policy', () => {
  const kept = async (): Promise<number> => {
    await device.written();
    return device.captures.status.waiting.count;
  };

  it.each([
    ['the version that answered forbids it', { answered: NOT_CAPTURED, served: CAPTURED, desired: CAPTURED }],
    ['the version that is to come forbids it', { answered: CAPTURED, served: CAPTURED, desired: NOT_CAPTURED }],
    [
      'a looser one is to come, and is not there yet',
      { answered: NOT_CAPTURED, served: NOT_CAPTURED, desired: CAPTURED },
    ],
    ['a package that says nothing', { answered: privacySchema.parse({}), served: undefined, desired: undefined }],
    [
      'a package that keeps inputs here',
      { answered: privacySchema.parse({ fallback: 'local' }), served: undefined, desired: CAPTURED },
    ],
  ])('nothing is kept where %s', async (_why, { answered, served, desired }) => {
    Object.assign(device.state, { served, desired });
    device.captures.start();
    device.captures.finished(finishedDigit(digitAnswer(1, [0.1], digitsYaml({ privacy: answered }))));
    expect(await kept()).toBe(0);
    const rules = device.log.lines.filter(({ level }) => level === 'info').map(({ fields }) => fields['rule']);
    expect(rules.join()).toMatch(/^privacy\.capture: none \((served|desired) version\)$/);
  });

  it('deletes what it kept when a stricter version is desired, also after a restart', async () => {
    const { captures, state, written, dataDir } = device;
    captures.start();
    captures.finished(low(1));
    await written();
    const next = setUp(dataDir);
    Object.assign(next.state, { hub: false, served: undefined, desired: NOT_CAPTURED });
    next.captures.start();
    await expect.poll(() => next.captures.status.dropped, { interval: 2 }).toEqual({ policy: 1 });
    await next.captures.stop();
    expect(next.stored()).toEqual([]);
    expect(state.hub).toBe(false);
  });

  it('keeps, and does not send, while the device has not heard what it should run; then that decides', async () => {
    const { captures, written, dataDir } = device;
    captures.start();
    captures.finished(low(1));
    await written();
    const next = setUp(dataDir);
    Object.assign(next.state, { heard: false, served: undefined, desired: undefined });
    next.captures.start();
    await expect.poll(() => next.clock.timerCount, { interval: 2 }).toBeGreaterThan(0);
    expect([next.arrived.length, next.captures.status.waiting.count]).toEqual([0, 1]);
    next.state.heard = true; // and the model is not among what should run
    next.captures.hubHeard();
    await expect.poll(() => next.captures.status.dropped, { interval: 2 }).toEqual({ policy: 1 });
    await next.captures.stop();
    expect(next.arrived).toEqual([]);
  });
});

describe('its bounds', () => {
  it("keeps the package's rate, for each model apart", async () => {
    const { captures, clock, written } = device;
    const yaml = digitsYaml({ capture: { share: 0, perMinute: 3 } });
    captures.start();
    for (let i = 0; i < 10; i += 1) captures.finished(finishedDigit(digitAnswer(i, [0.1], yaml)));
    captures.finished(finishedDigit(digitAnswer(1, [0.1], yaml), { model: 'other' }));
    clock.advance(20_000);
    captures.finished(finishedDigit(digitAnswer(11, [0.1, 0.1], yaml)));
    await written();
    expect(captures.status.captured).toMatchObject([
      { model: 'digits', count: 4 },
      { model: 'other', count: 1 },
    ]);
    expect(captures.status.dropped).toEqual({ rate: 8 });
  });

  it('drops what the disk does not keep up with, and what the memory for it does not hold', async () => {
    const { captures, written } = device;
    captures.start();
    for (let i = 0; i < LIMIT_QUEUE_ENTRIES + 7; i += 1) captures.finished(low(i));
    expect(captures.status.dropped).toEqual({ 'queue-full': 7 });
    await written();
    expect(captures.status.captured).toMatchObject([{ count: LIMIT_QUEUE_ENTRIES }]);
    const heavy = setUp();
    heavy.state.hub = false;
    heavy.captures.start();
    // A small view of a large body keeps all of it alive.
    const body = new Uint8Array(20 * 1024 * 1024);
    const own = digitAnswer(1, [0.1]);
    const inputs = [tensor('image', 'UINT8', [1, 10], body.subarray(0, 10))];
    const another = [tensor('image', 'UINT8', [1, 10], new Uint8Array(20 * 1024 * 1024).subarray(0, 10))];
    heavy.captures.finished(finishedDigit({ ...own, inputs }));
    heavy.captures.finished(finishedDigit({ ...own, inputs: another }));
    expect(heavy.captures.status.dropped).toEqual({ 'queue-full': 1 });
    await heavy.written();
    expect(heavy.captures.status.waiting.count).toBe(1);
  });

  it('lets go of outputs that no sample would hold', async () => {
    const { captures, written } = device;
    captures.start();
    const mask = tensor('mask', 'UINT8', [1, 40_000_000], new Uint8Array(40_000_000));
    captures.finished(finishedDigit({ ...digitAnswer(1, [0.1]), outputs: [mask] }));
    await written();
    expect(captures.status).toMatchObject({ dropped: {}, waiting: { count: 1, bytes: 4096 } });
  });

  it('counts what no sample can hold, and what the store does not take', async () => {
    const { captures, written } = device;
    captures.start();
    const inputs = [tensor('image', 'UINT8', [1, 9_000_000], new Uint8Array(9_000_000))];
    captures.finished(finishedDigit({ ...digitAnswer(1, [0.1]), inputs }));
    const large = [tensor('image', 'UINT8', [1, 2_000_000], new Uint8Array(2_000_000))];
    captures.finished(finishedDigit({ ...digitAnswer(1, [0.1]), inputs: large }));
    await written();
    expect(captures.status.dropped).toEqual({ 'too-large': 1, limit: 1 });
  });

  it('captures nothing, and serves on, where its folder can not be opened', async () => {
    const dataDir = folder();
    writeFileSync(join(dataDir, 'captures'), 'a file where the folder should be');
    const broken = setUp(dataDir);
    broken.captures.start();
    broken.captures.finished(low(1));
    await broken.written();
    expect(broken.captures.status).toMatchObject({ captured: [], dropped: { 'not-open': 1 } });
    expect(
      broken.log.lines.some(({ level, message }) => level === 'error' && message.includes('nothing is captured')),
    ).toBe(true);
  });

  it('writes what is queued when it stops, and nothing after', async () => {
    const { captures, stored } = device;
    captures.start();
    captures.finished(low(1));
    await captures.stop();
    expect(stored()).toHaveLength(1);
    captures.finished(low(2));
    await captures.stop();
    expect(stored()).toHaveLength(1);
  });
});
