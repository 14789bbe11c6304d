import { describe, expect, it } from 'vitest';
import { SequencePlaces } from '@tidegate/shared/serving/sequence-places.js';

const START = { id: '7', start: true, end: false };
const NEXT = { id: '7', start: false, end: false };

describe('places of sequences', () => {
  it('are found again until the end, each by model, scope and id', () => {
    const places = new SequencePlaces<string>();
    places.goes('vad', START, 'version 1');
    places.goes('vad', { ...START, scope: 'device-2' }, 'version 2');
    expect(places.get('vad', NEXT)).toBe('version 1');
    expect(places.get('vad', { ...NEXT, scope: 'device-2' })).toBe('version 2');
    expect([places.get('other', NEXT), places.get('vad', { ...NEXT, id: '"7"' })]).toEqual([undefined, undefined]);
    places.goes('vad', { ...NEXT, end: true }, 'version 1');
    expect(places.get('vad', NEXT)).toBeUndefined();
  });

  it('are not asked for a start, or for no sequence', () => {
    const places = new SequencePlaces<string>();
    places.goes('vad', START, 'version 1');
    places.goes('vad', undefined, 'version 1');
    expect([places.get('vad', START), places.get('vad', undefined)]).toEqual([undefined, undefined]);
    places.forget('vad', START);
    expect(places.get('vad', NEXT)).toBeUndefined();
  });

  it('forget the oldest beyond their limit', () => {
    const places = new SequencePlaces<number>();
    for (let i = 0; i <= 10_000; i += 1) places.goes('vad', { ...START, id: String(i) }, i);
    expect([places.get('vad', { ...NEXT, id: '0' }), places.get('vad', { ...NEXT, id: '1' })]).toEqual([undefined, 1]);
  });
});
