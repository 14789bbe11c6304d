import { describe, expect, it } from 'vitest';
import type { PipelineCut } from '@tidegate/shared/serving/pipeline-cuts.js';
import { observeLink, UNMEASURED_LINK } from '@tidegate/edge-agent/router/link-estimate.js';
import { SplitTimes, type StageRun } from '@tidegate/edge-agent/router/split-times.js';

const cut = (name: string, graphsBefore: string[], nextGraph?: string): PipelineCut => ({
  name,
  crossing: [name],
  wantedHere: name === 'picture' ? [] : [name],
  wantedThere: ['text'],
  graphsBefore,
  nextGraph,
  oneItem: false,
});
const cuts = [cut('picture', []), cut('pixels', [], 'det'), cut('map', ['det']), cut('boxes', ['det'])];
/** Decoding takes 10 ms, det 40, then steps of 5, and rec 100. */
const runs: StageRun[] = [
  { graph: 'det', fromMs: 10, toMs: 50 },
  { graph: 'rec', fromMs: 55, toMs: 155 },
];
const link = observeLink(observeLink(UNMEASURED_LINK, 1000, 11, 0), 100_000, 110, 0);

describe('SplitTimes', () => {
  it('knows of the parts before cuts as soon as the whole ran here', () => {
    const times = new SplitTimes(cuts);
    times.ranHere(160, runs, 0);
    expect(times.wholeMs).toBe(160);
    expect(times.options(link, 0).map(({ name, whole, hereMs, guess }) => [name, whole, hereMs, guess])).toEqual([
      ['picture', true, 0, true],
      ['pixels', false, 10, true],
      ['map', false, 50, true],
      ['boxes', false, 50, true],
    ]);
  });

  it('expects of the hub behind other cuts what it did behind one', () => {
    const times = new SplitTimes(cuts);
    times.ranHere(160, runs, 0);
    times.ranThere('map', 22, 1000, 0); // 110 ms here
    const [picture, , map, boxes] = times.options(link, 0);
    expect(map).toMatchObject({ thereMs: 22, guess: false });
    expect(boxes?.thereMs).toBeCloseTo(22);
    expect(picture?.thereMs).toBeCloseTo(32); // a fifth of 160
    expect(picture?.guess).toBe(true); // nobody knows how much crosses
  });

  it('corrects the part before a cut by what it took by itself', () => {
    const times = new SplitTimes(cuts);
    times.ranHere(160, runs, 0);
    for (let i = 0; i < 20; i += 1) times.ranBefore('boxes', 54);
    expect(times.options(link, 0)[3]?.hereMs).toBeCloseTo(54, 1);
  });

  it('calls a guess what was measured long ago', () => {
    const times = new SplitTimes(cuts);
    times.ranHere(160, runs, 0);
    times.ranThere('map', 22, 1000, 0);
    expect(times.options(link, 29_000)[2]).toMatchObject({ guess: false, old: false });
    expect(times.options(link, 31_000)[2]).toMatchObject({ guess: true, old: true });
    expect(times.options(link, 31_000)[3]).toMatchObject({ guess: true, old: false }); // never measured at all
    expect([times.isOld(59_000), times.isOld(61_000)]).toEqual([false, true]);
  });

  it('learns nothing of a request for which a kept stage spared a run', () => {
    const times = new SplitTimes(cuts);
    times.ranHere(105, runs.slice(1), 0);
    expect(times.wholeMs).toBeUndefined();
  });
});
