import { describe, expect, it } from 'vitest';
import {
  answerAgentRoute,
  releasedModel,
  releaseModel,
  type AgentRoutesModules,
} from '@tidegate/edge-agent/api/agent-routes.js';
import { DeviceCache } from '@tidegate/edge-agent/cache/device-cache.js';
import { Explanations } from '@tidegate/edge-agent/router/explanations.js';
import { ManualClock } from '../../support/manual-clock.js';

const clock = new ManualClock();
const explanations = new Explanations();
const modules = {
  slots: { names: () => [], active: () => undefined },
  control: { unloaded: () => [{ name: 'wide', version: '1', ready: false, reason: 'needs 300 MiB' }] },
  cache: new DeviceCache({ layers: [], clock }),
  hub: undefined,
  explanations,
  version: '1.0.0',
  mode: 'serve',
  state: () => 'starting',
  moreStatus: undefined,
  startedMonotonicMs: 0,
  clock,
} as unknown as AgentRoutesModules;

describe('answerAgentRoute', () => {
  it('says state, uptime, what is not loaded, and that there is no hub', () => {
    const wide = { name: 'wide', version: '1', reason: 'needs 300 MiB' };
    clock.advance(1500);
    expect(answerAgentRoute('/agent/v1/status', modules)).toMatchObject({
      status: 200,
      body: {
        version: '1.0.0',
        mode: 'serve',
        state: 'starting',
        uptimeMs: 1500,
        models: [],
        unloaded: [wide],
        hub: null,
      },
    });
  });

  it('explains by id, also by ids that a path must escape', () => {
    const spent = { queueMs: 0, runMs: 0, hubMs: 0 };
    const one = { model: 'm', version: '1', acceptedAtMs: 0, totalMs: 1, result: 'edge', spent, steps: [] };
    explanations.add({ ...one, id: 'a/b #1' });
    expect(answerAgentRoute('/agent/v1/explain/a%2Fb%20%231', modules).status).toBe(200);
    expect(answerAgentRoute('/agent/v1/explain/%', modules).status).toBe(404);
  });

  it('knows no other path', () => {
    expect(answerAgentRoute('/agent/v1/secrets', modules)).toMatchObject({ status: 404 });
    expect(answerAgentRoute('/', modules).status).toBe(404);
  });

  it('releases a model that is named in the path', () => {
    expect(releasedModel('/agent/v1/models/a%2Fb/release')).toBe('a/b');
    expect(releasedModel('/agent/v1/models/a/b/release')).toBeUndefined();
    expect(releasedModel('/agent/v1/models/%/release')).toBe('');
    const slots = { release: (name: string) => (name === 'held' ? true : name === 'well' ? false : undefined) };
    expect(releaseModel('held', slots)).toEqual({ status: 200, body: { model: 'held', released: true } });
    expect(releaseModel('well', slots)).toMatchObject({ status: 200, body: { released: false } });
    expect(releaseModel('none', slots)).toMatchObject({ status: 404 });
  });
});
