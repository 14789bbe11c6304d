import { expect, it } from 'vitest';
import { Metrics } from '@tidegate/edge-agent/api/metrics.js';
import { DeviceCache } from '@tidegate/edge-agent/cache/device-cache.js';
import type { CaptureStatus } from '@tidegate/edge-agent/capture/captures.js';
import { MemoryLayer } from '@tidegate/shared/cache/memory-layer.js';
import { HubClient } from '@tidegate/edge-agent/router/hub-client.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { ManualClock } from '../../support/manual-clock.js';

it('counts what ended and reads what components count, each time it is scraped', async () => {
  const clock = new ManualClock();
  const no = (): Promise<never> => Promise.reject(new Error('no'));
  const link = { url: 'http://hub', infer: no, metadata: no };
  const hub = new HubClient(link, { failuresMax: 1, probeIntervalMs: 1000 }, { clock, log: silentLog });
  let runs = 3;
  const ended = { ended: 4, idle: 2, restarted: 0, lost: 1, closed: 0 };
  const residency = { bytes: 4096, loads: 2, refusals: 1, evictions: { budget: 1 } };
  const sides = new Map([['step branch', { held: 2, other: 5 }]]);
  const slots = {
    names: () => ['m'],
    serving: () => ({ counts: { runs }, executorDeaths: 3, quarantine: { reason: 'x' }, sides }),
    active: () => ({ residency, source: {}, provider: {}, served: { threads: 2 } }),
    executorPids: new Set([7, 8]),
    cores: { count: 2, busy: 1, waiting: 7 },
    memory: { budgetBytes: null, usedBytes: 8192, overBudget: 0 },
    sequenceCounts: () => ({ live: 3, started: 10, ended }),
  } as never;
  const cache = new DeviceCache({ layers: [new MemoryLayer({ limitBytes: 100 }, { clock })], clock });
  const captures = (): CaptureStatus => ({
    captured: [{ model: 'm', reason: 'low-confidence', count: 4 }],
    dropped: { rate: 2 },
    sent: 3,
    waiting: { count: 1, bytes: 4096 },
  });
  const metrics = new Metrics({ slots, cache, hub, captures, version: '1.2.3' });
  metrics.ended({ model: 'm', outcome: 'edge', code: 'ok', totalMs: 7 });
  metrics.ended({ model: undefined, outcome: 'refused', code: 'not-found', totalMs: 1 });
  metrics.refused('would-miss-deadline', 0.3, false);
  metrics.refused('rate-limited', 0.05, true);
  metrics.refused('invalid-argument', 0.1, true); // not at admission

  const first = await metrics.text();
  expect(first).toContain('tidegate_requests_total{model="m",outcome="edge",code="ok"} 1');
  expect(first).toContain('tidegate_requests_total{model="other",outcome="refused",code="not-found"} 1');
  expect(first).toContain('tidegate_request_duration_seconds_sum{model="m",outcome="edge"} 0.007');
  expect(first).toContain('tidegate_refusal_duration_seconds_bucket{le="0.0005",body="read"} 1');
  expect(first).toContain('tidegate_refusal_duration_seconds_count{body="unread"} 1');
  expect(first).toContain('tidegate_executor_runs_total{model="m"} 3');
  expect(first).toContain('tidegate_executors 2');
  expect(first).toContain('tidegate_executor_deaths_total{model="m"} 3');
  expect(first).toContain('tidegate_model_quarantined{model="m"} 1');
  expect(first).toContain('tidegate_model_threads{model="m"} 2');
  expect(first).toContain('tidegate_cores 2');
  expect(first).toContain('tidegate_cores_busy 1');
  expect(first).toContain('tidegate_cores_waiting 7');
  expect(first).toContain('tidegate_memory_used_bytes 8192');
  expect(first).toContain('tidegate_memory_budget_bytes 0');
  expect(first).toContain('tidegate_model_loads_total{model="m"} 2');
  expect(first).toContain('tidegate_model_evictions_total{model="m",why="budget"} 1');
  expect(first).toContain('tidegate_cache_limit_bytes{layer="memory"} 100');
  expect(first).toContain('tidegate_branch_items_total{model="m",step="step branch",side="first"} 2');
  expect(first).toContain('tidegate_branch_items_total{model="m",step="step branch",side="second"} 5');
  expect(first).toContain('tidegate_sequences_live{model="m"} 3');
  expect(first).toContain('tidegate_sequences_started_total{model="m"} 10');
  expect(first).toContain('tidegate_sequences_ended_total{model="m",why="idle"} 2');
  expect(first).toContain('tidegate_build_info{version="1.2.3"} 1');
  expect(first).toContain('tidegate_hub_breaker_open 0');
  expect(first).toContain('tidegate_hub_round_trip_seconds 0');
  expect(first).toContain('tidegate_hub_bytes_per_second 0');
  expect(first).toContain('tidegate_captures_total{model="m",reason="low-confidence"} 4');
  expect(first).toContain('tidegate_captures_dropped_total{why="rate"} 2');
  expect(first).toContain('tidegate_captures_sent_total 3');
  expect(first).toContain('tidegate_captures_stored_bytes 4096');

  runs = 5;
  await hub.ask({} as never, 10, new AbortController().signal).catch(() => undefined);
  const second = await metrics.text();
  expect(second).toContain('tidegate_executor_runs_total{model="m"} 5');
  expect(second).toContain('tidegate_hub_failures_total 1');
  expect(second).toContain('tidegate_hub_breaker_open 1');
});
