import { describe, expect, it } from 'vitest';
import { place, rescue, type PlaceView, type RescueView } from '@tidegate/edge-agent/router/place.js';

const free = { allowed: true, rule: 'privacy.fallback: hub (served version)' };
const bound = { allowed: false, rule: 'privacy.fallback: local (served version)' };
const view: PlaceView = {
  asked: 'auto',
  modelOnDevice: true,
  privacy: free,
  hub: 'reachable',
  stateful: false,
  begun: undefined,
  canSplit: false,
};

describe('place', () => {
  it('answers on the device what is on the device', () => {
    expect(place(view)).toEqual({ place: 'local' });
    expect(place({ ...view, asked: 'local' })).toEqual({ place: 'local' });
    expect(place({ ...view, hub: 'broken' })).toEqual({ place: 'local' });
  });

  it('asks the hub where the model is not here, or the caller says so', () => {
    expect(place({ ...view, modelOnDevice: false })).toMatchObject({ place: 'hub' });
    expect(place({ ...view, asked: 'hub' })).toMatchObject({ place: 'hub' });
  });

  it('says why it is not here, where it should be and does not fit; a caller may come again then', () => {
    const away = { ...view, modelOnDevice: false, whyAbsent: "'m' is not in memory: it needs 300 MiB" };
    expect(place(away)).toEqual({ place: 'hub', reason: away.whyAbsent });
    const alone = { place: 'refuse', code: 'not-ready', reason: `${away.whyAbsent}, and there is no hub to ask` };
    expect(place({ ...away, hub: 'none' })).toEqual(alone);
    expect(place({ ...away, asked: 'local' })).toMatchObject({ place: 'refuse', code: 'not-ready' });
    expect(place({ ...away, privacy: bound })).toMatchObject({ place: 'refuse', code: 'not-ready' });
  });

  it('splits for a caller who asks, where package, privacy and hub let it', () => {
    const split = { ...view, asked: 'split', canSplit: true } as const;
    expect(place(split)).toEqual({ place: 'local' }); // it begins here
    expect(place({ ...split, hub: 'broken' })).toEqual({ place: 'local' }); // and ends here
    expect(place({ ...split, hub: 'none' })).toMatchObject({ place: 'refuse', code: 'hub-unavailable' });
    expect(place({ ...split, modelOnDevice: false })).toMatchObject({ place: 'refuse', code: 'not-found' });
    expect(place({ ...split, privacy: bound })).toMatchObject({ place: 'refuse', code: 'forbidden' });
    const uncut = place({ ...split, canSplit: false });
    expect(uncut).toMatchObject({
      place: 'refuse',
      code: 'forbidden',
      reason: expect.stringContaining('placement.split') as string,
    });
  });

  it('keeps a sequence where it began: its state is there', () => {
    const stateful = { ...view, stateful: true };
    expect(place(stateful)).toEqual({ place: 'local' });
    expect(place({ ...stateful, asked: 'hub' })).toMatchObject({ place: 'hub' }); // a start
    expect(place({ ...stateful, begun: 'here', asked: 'hub' })).toMatchObject({ place: 'refuse', code: 'forbidden' });
    expect(rescue({ ...stateful, trouble: 'queue-full', detail: 'full' })).toEqual({
      place: 'local',
      reason: 'full; its sequence stays on this device',
    });
  });

  it('asks the hub for what goes on there, also once the model has come to the device', () => {
    const begun = { ...view, stateful: true, begun: 'hub' } as const;
    const reason = 'its sequence began at the hub';
    expect(place(begun)).toEqual({ place: 'hub', reason });
    expect(place({ ...begun, asked: 'hub' })).toMatchObject({ place: 'hub' });
    expect(place({ ...begun, hub: 'broken' })).toMatchObject({ place: 'refuse', code: 'hub-unavailable' });
    expect(place({ ...begun, asked: 'local' })).toEqual({ place: 'local' });
    expect(place({ ...begun, privacy: bound })).toEqual({ place: 'local' });
  });

  it('a privacy policy local is not overridden by a caller', () => {
    expect(place({ ...view, asked: 'hub', privacy: bound })).toMatchObject({
      place: 'refuse',
      code: 'forbidden',
      reason: expect.stringContaining(bound.rule) as string,
    });
    expect(place({ ...view, asked: 'hub', privacy: bound, modelOnDevice: false })).toMatchObject({
      place: 'refuse',
      code: 'forbidden',
    });
  });

  it('placement local never leaves the device', () => {
    const absent = place({ ...view, asked: 'local', modelOnDevice: false });
    expect(absent).toMatchObject({ place: 'refuse', code: 'not-found' });
  });

  it('says why nobody can answer', () => {
    expect(place({ ...view, modelOnDevice: false, hub: 'none' })).toMatchObject({ code: 'not-found' });
    expect(place({ ...view, modelOnDevice: false, hub: 'broken' })).toMatchObject({ code: 'hub-unavailable' });
    expect(place({ ...view, asked: 'hub', hub: 'none' })).toMatchObject({ code: 'hub-unavailable' });
  });

  it('a model of which another version is here keeps its privacy', () => {
    const other: PlaceView = { ...view, modelOnDevice: false, privacy: bound };
    expect(place(other)).toMatchObject({ place: 'refuse', code: 'not-found' });
  });
});

describe('rescue', () => {
  const low: RescueView = { ...view, trouble: 'low-confidence', detail: 'confidence 0.40 under 0.60' };

  it('asks the hub, and says why', () => {
    expect(rescue(low)).toEqual({ place: 'hub', reason: 'confidence 0.40 under 0.60' });
  });

  it('stays on the device where the caller, the policy or the breaker say so', () => {
    expect(rescue({ ...low, asked: 'local' }).place).toBe('local');
    expect(rescue({ ...low, privacy: bound }).place).toBe('local');
    expect(rescue({ ...low, hub: 'none' })).toEqual({
      place: 'local',
      reason: 'confidence 0.40 under 0.60, and there is no hub to ask',
    });
    expect(rescue({ ...low, hub: 'broken' })).toMatchObject({
      place: 'local',
      reason: expect.stringContaining('does not answer') as string,
    });
  });
});
