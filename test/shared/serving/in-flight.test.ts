import { expect, it } from 'vitest';
import { InFlight } from '@tidegate/shared/serving/in-flight.js';

const enterAll = (inFlight: InFlight, caller: string, times: number): number =>
  Array.from({ length: times }, () => inFlight.enter(caller)).filter(Boolean).length;

it('bounds one caller, and counts what left', () => {
  const inFlight = new InFlight(8);
  expect(enterAll(inFlight, 'a', 20)).toBe(8);
  inFlight.leave('a');
  expect(inFlight.count).toBe(7);
  expect(enterAll(inFlight, 'a', 20)).toBe(1);
});

it('leaves others their part beside a caller that fills it', () => {
  const inFlight = new InFlight(12);
  expect(enterAll(inFlight, 'heavy', 100)).toBe(12);
  expect(enterAll(inFlight, 'light', 100)).toBe(6);
  expect(enterAll(inFlight, 'third', 100)).toBe(4);
  expect([inFlight.hasRoom('heavy'), inFlight.hasRoom('fourth')]).toEqual([false, true]);
  expect(inFlight.enter('heavy')).toBe(false);
  for (let i = 0; i < 6; i += 1) inFlight.leave('light');
  expect(inFlight.enter('light')).toBe(true);
});
