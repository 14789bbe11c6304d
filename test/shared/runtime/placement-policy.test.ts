import { describe, expect, it } from 'vitest';
import { placeGraph, type GraphToPlace, type OpenExecutor } from '@tidegate/shared/runtime/placement-policy.js';

const [mine, other] = [{}, {}];
const graph = (parts: Partial<GraphToPlace> = {}): GraphToPlace => ({
  ...{ model: mine, slots: 2, intraOpThreads: 1, gpuAsked: false, hasState: false, timeVaries: false },
  ...parts,
});
const open = (model: object, slots = 2, intraOpThreads = 1): OpenExecutor => ({
  ...{ slots, intraOpThreads, models: new Set([model]) },
});

describe('the placement of graphs', () => {
  it('puts the graphs of one model together, which share their fate anyway', () => {
    expect(placeGraph(graph(), [])).toMatchObject({ kind: 'open' });
    const [theirs, ours] = [open(other), open(mine)];
    expect(placeGraph(graph(), [theirs])).toMatchObject({ kind: 'open' });
    expect(placeGraph(graph(), [theirs, ours])).toEqual({
      ...{ kind: 'join', executor: ours, reason: 'with the other graphs of its model' },
    });
  });

  it('joins only an executor whose pool and slots are as the graph wants them', () => {
    expect(placeGraph(graph(), [open(mine, 1), open(mine, 2, 4)])).toMatchObject({ kind: 'open' });
  });

  it.each<[Partial<GraphToPlace>, RegExp]>([
    [{ gpuAsked: true }, /GPU/],
    [{ hasState: true }, /sequences carry/],
    [{ timeVaries: true }, /as long as its data/],
  ])('leaves %o alone, and says why', (parts, reason) => {
    expect(placeGraph(graph(parts), [open(mine)])).toEqual({
      ...{ kind: 'alone', reason: expect.stringMatching(reason) as string },
    });
  });
});
