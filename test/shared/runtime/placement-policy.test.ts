import { describe, expect, it } from 'vitest';
import {
  PLACEMENT_LIMITS,
  placeGraph,
  type GraphToPlace,
  type OpenExecutor,
} from '@tidegate/shared/runtime/placement-policy.js';

const [mine, other] = [{}, {}];
const proven = { missing: undefined, crashed: false, runUs: 4_000 };
const graph = (parts: Partial<GraphToPlace> = {}): GraphToPlace => ({
  ...{ model: mine, slots: 2, intraOpThreads: 1, gpuAsked: false, hasState: false, timeVaries: false },
  ...{ sizeBytes: 200_000, standing: undefined },
  ...parts,
});
const open = (parts: Partial<OpenExecutor> = {}): OpenExecutor => ({
  ...{ kind: 'model', slots: 2, intraOpThreads: 1, models: new Set([mine]), graphs: 1 },
  ...parts,
});
const saying = (text: RegExp): string => expect.stringMatching(text) as string;

describe('the placement of graphs', () => {
  it('puts the graphs of one model together, which share their fate anyway', () => {
    expect(placeGraph(graph(), [])).toMatchObject({ kind: 'open', of: 'model' });
    const [theirs, ours] = [open({ models: new Set([other]) }), open()];
    expect(placeGraph(graph(), [theirs])).toMatchObject({ kind: 'open', of: 'model' });
    expect(placeGraph(graph(), [theirs, ours])).toEqual({
      ...{ kind: 'join', of: 'model', executor: ours },
      reason: 'only with graphs of its own model: models do not share executors here',
    });
  });

  it('joins only an executor whose pool and slots are as the graph wants them', () => {
    const others = [open({ slots: 1 }), open({ intraOpThreads: 4 })];
    expect(placeGraph(graph(), others)).toMatchObject({ kind: 'open' });
  });

  it('puts proven, small, fast graphs of all models together, until there are too many', () => {
    const standing = proven;
    const shared = open({ kind: 'proven', models: new Set([other]) });
    expect(placeGraph(graph({ standing }), [open()])).toMatchObject({ kind: 'open', of: 'proven' });
    expect(placeGraph(graph({ standing }), [open(), shared])).toEqual({
      ...{ kind: 'join', of: 'proven', executor: shared },
      reason: 'proven and small, 4.0 ms a run: with others that are',
    });
    const full = { ...shared, graphs: PLACEMENT_LIMITS.graphs };
    expect(placeGraph(graph({ standing }), [full])).toMatchObject({ kind: 'open', of: 'proven' });
  });

  it.each<[Partial<GraphToPlace>, RegExp]>([
    [
      { standing: { ...proven, missing: '3 of 100 answers, 0 of 60 minutes' } },
      /has to prove itself first .3 of 100 answers/,
    ],
    [{ standing: { ...proven, crashed: true } }, /ended while it alone computed/],
    [{ standing: { ...proven, runUs: 50_001 } }, /slow, 50\.0 ms a run/],
    [{ standing: proven, sizeBytes: (32 << 20) + 1 }, /large, 33554433 bytes/],
  ])('lets %o share with its own model only, and says why', (parts, reason) => {
    const executors = [open({ kind: 'proven' }), open()];
    expect(placeGraph(graph(parts), executors)).toMatchObject({ kind: 'join', of: 'model', reason: saying(reason) });
  });

  it.each<[Partial<GraphToPlace>, RegExp]>([
    [{ gpuAsked: true }, /GPU/],
    [{ hasState: true }, /sequences carry/],
    [{ timeVaries: true }, /as long as its data/],
  ])('leaves %o alone, however proven, and says why', (parts, reason) => {
    const executors = [open(), open({ kind: 'proven' })];
    const placed = placeGraph(graph({ standing: proven, ...parts }), executors);
    expect(placed).toEqual({ kind: 'alone', reason: saying(reason) });
  });
});
