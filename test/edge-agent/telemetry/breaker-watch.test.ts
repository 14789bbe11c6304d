import { describe, expect, it } from 'vitest';
import { BreakerWatch } from '@tidegate/edge-agent/telemetry/breaker-watch.js';

describe('watching the breaker', () => {
  it('tells each change once, with the reason', () => {
    let status: { phase: 'closed' | 'open'; lastError: string | undefined } | undefined;
    const events: string[] = [];
    const watch = new BreakerWatch(
      () => status,
      (kind, detail) => events.push(`${kind}: ${detail}`),
    );
    watch.finished();
    status = { phase: 'closed', lastError: undefined };
    watch.finished();
    status = { phase: 'open', lastError: 'no answer within 200 ms' };
    watch.finished();
    watch.finished();
    status = { phase: 'closed', lastError: undefined };
    watch.finished();
    expect(events).toEqual([
      'hub-breaker-opened: no answer within 200 ms',
      'hub-breaker-closed: the hub answers again',
    ]);
  });
});
