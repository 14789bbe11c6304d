import { describe, expect, it } from 'vitest';
import {
  begin,
  EMPTY_QUEUE,
  fail,
  isNews,
  observe,
  remove,
  select,
  settle,
  shown,
  tally,
  withPage,
  type Queue,
} from '@tidegate/cloud-hub/console/review/queue.js';
import type { SampleView } from '@tidegate/shared/wire/data-api.js';

const sample = (id: string, facts: Partial<SampleView> = {}): SampleView => ({
  id,
  model: 'digits',
  capturedAt: '2026-01-01T00:00:00.000Z',
  receivedAt: '2026-01-01T00:00:01.000Z',
  reason: 'low-confidence',
  inputsDigest: `sha256:${'0'.repeat(64)}`,
  inputs: [],
  sizeBytes: 1,
  state: 'new',
  ...facts,
});
const queueOf = (...samples: SampleView[]): Queue => withPage(EMPTY_QUEUE, { items: samples });
const at = (queue: Queue, index: number): SampleView => shown(queue.items[index]!);
const label = (text: string) => ({ kind: 'label', label: text }) as const;

describe('a queue under review', () => {
  it('shows a label at once, and goes on to the next new sample', () => {
    const queue = begin(queueOf(sample('a'), sample('b', { state: 'rejected' }), sample('c')), 'a', label('7'));
    expect(at(queue, 0)).toMatchObject({ state: 'labelled', label: '7', labelSource: 'person' });
    expect(queue.at).toBe(2);
    expect(tally(queue)).toEqual({ new: 1, labelled: 1, rejected: 1 });
  });

  it('goes round to samples that were passed over, and stays where none is left', () => {
    let queue = select(queueOf(sample('a'), sample('b')), 1);
    queue = begin(queue, 'b', { kind: 'reject' });
    expect(queue.at).toBe(0);
    queue = begin(queue, 'a', { kind: 'reject' });
    expect(queue.at).toBe(0);
  });

  it('keeps the focus where another sample than the one in focus is changed', () => {
    expect(begin(queueOf(sample('a'), sample('b'), sample('c')), 'b', label('1')).at).toBe(0);
  });

  it('takes what the hub answers for the truth', () => {
    const queue = settle(begin(queueOf(sample('a')), 'a', label('7')), sample('a', { state: 'labelled', label: '1' }));
    expect(at(queue, 0).label).toBe('1');
    expect(queue.items[0]?.inFlight).toBe(0);
  });

  it('takes a refused change back, says why, and no longer offers to undo it', () => {
    const queue = fail(begin(queueOf(sample('a'), sample('b')), 'a', label('7')), 'a', 'no disk');
    expect(at(queue, 0)).toEqual(sample('a'));
    expect(queue.items[0]?.error).toBe('no disk');
    expect(queue.decided).toEqual([]);
  });

  it('keeps showing the later of two changes until both are answered', () => {
    let queue = begin(begin(queueOf(sample('a')), 'a', label('7')), 'a', { kind: 'reopen' });
    expect(at(queue, 0).state).toBe('new');
    queue = settle(queue, sample('a', { state: 'labelled', label: '7' }));
    expect(at(queue, 0).state).toBe('new');
    queue = settle(queue, sample('a'));
    expect(at(queue, 0)).toEqual(sample('a'));
  });

  it('shows what holds where the later of two changes is refused', () => {
    let queue = begin(begin(queueOf(sample('a')), 'a', label('7')), 'a', { kind: 'reopen' });
    queue = settle(queue, sample('a', { state: 'labelled', label: '7' }));
    queue = fail(queue, 'a', 'gone');
    expect(at(queue, 0)).toMatchObject({ state: 'labelled', label: '7' });
  });

  it('undoes the latest decision first and puts it into focus', () => {
    let queue = queueOf(sample('a'), sample('b'), sample('c'));
    queue = begin(begin(queue, 'a', label('1')), 'b', label('2'));
    expect(queue.decided).toEqual(['a', 'b']);
    queue = begin(queue, 'b', { kind: 'reopen' });
    expect(queue.decided).toEqual(['a']);
    expect(queue.at).toBe(1);
    expect(at(queue, 1)).toEqual(sample('b'));
  });

  it('gives a sample its label back where the rejection of it is taken back', () => {
    const labelled = sample('a', { state: 'labelled', label: '3', labelSource: 'import' });
    let queue = begin(queueOf(labelled), 'a', { kind: 'reject' });
    expect(at(queue, 0).state).toBe('rejected');
    queue = begin(queue, 'a', { kind: 'reopen' });
    expect(at(queue, 0)).toEqual(labelled);
    expect(at(begin(queue, 'a', { kind: 'reopen' }), 0)).toEqual(sample('a'));
  });

  it('accepts the proposal that is there, and waits for one that is not', () => {
    const proposal = { label: '4', confidence: 0.9, version: 2 };
    const queue = begin(queueOf(sample('a', { proposal })), 'a', { kind: 'accept' });
    expect(at(queue, 0)).toMatchObject({ state: 'labelled', label: '4', labelSource: 'hub-model' });
    const asked = begin(queueOf(sample('a'), sample('b')), 'a', { kind: 'propose' });
    expect(asked.at).toBe(0);
    expect(at(settle(asked, sample('a', { proposal })), 0).proposal).toEqual(proposal);
  });

  it('hears of changes made elsewhere, without losing its own', () => {
    const queue = begin(queueOf(sample('a'), sample('b')), 'a', label('7'));
    expect(at(observe(queue, sample('b', { state: 'rejected' })), 1).state).toBe('rejected');
    expect(at(observe(queue, sample('a', { state: 'rejected' })), 0).label).toBe('7');
    expect(observe(queue, sample('z')).items).toEqual(queue.items);
  });

  it('drops what was deleted elsewhere, and keeps the focus on its sample', () => {
    const queue = select(begin(queueOf(sample('a'), sample('b'), sample('c')), 'a', label('7')), 1);
    const without = remove(queue, 'a');
    expect(without).toMatchObject({ at: 0, decided: [] });
    expect(at(without, 0).id).toBe('b');
    expect(at(remove(without, 'b'), 0).id).toBe('c');
    expect(remove(queueOf(sample('a')), 'a')).toEqual(EMPTY_QUEUE);
    expect(remove(queue, 'z')).toBe(queue);
    expect(settle(without, sample('a')).items).toHaveLength(2); // an answer that comes after it brings nothing back
  });

  it('tells samples that came in from those that are further down the list', () => {
    const queue = queueOf(sample('a', { receivedAt: '2026-01-02T00:00:00.000Z' }), sample('b'));
    const later = { receivedAt: '2026-01-03T00:00:00.000Z' };
    expect(isNews(queue, sample('z', later))).toBe(true);
    expect(isNews(queue, sample('z'))).toBe(false);
    expect(isNews(queue, sample('a', later))).toBe(false);
    expect(isNews(queue, sample('z', { ...later, state: 'labelled' }))).toBe(false);
    expect(isNews(EMPTY_QUEUE, sample('z'))).toBe(true);
  });

  it('appends a page without repeating what moved onto it', () => {
    const queue = withPage(withPage(EMPTY_QUEUE, { items: [sample('a'), sample('b')], nextCursor: 'n' }), {
      items: [sample('b'), sample('c')],
    });
    expect(queue.items.map(({ server }) => server.id)).toEqual(['a', 'b', 'c']);
    expect(queue.nextCursor).toBeUndefined();
  });

  it('keeps the focus within itself', () => {
    expect(select(queueOf(sample('a'), sample('b')), 9).at).toBe(1);
    expect(select(queueOf(sample('a')), -3).at).toBe(0);
    expect(select(EMPTY_QUEUE, 1).at).toBe(0);
  });
});
