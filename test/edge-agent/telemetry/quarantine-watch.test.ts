import { expect, it } from 'vitest';
import { QuarantineWatch } from '@tidegate/edge-agent/telemetry/quarantine-watch.js';

it('tells once that a model is in quarantine, and that it answers again', () => {
  const held = new Set<string>();
  const events: string[] = [];
  const watch = new QuarantineWatch(
    (model) => held.has(model),
    (kind, detail) => events.push(`${kind}: ${detail}`),
  );
  const ask = (): void => ['a', 'b', 'a'].forEach((model) => watch.finished({ model }));
  ask();
  held.add('a');
  ask();
  held.clear();
  ask();
  expect(events).toEqual([
    'quarantined: a: its executors ended too often; it answers nothing on this device',
    'quarantine-ended: a answers on this device again',
  ]);
});
