import { expect, it } from 'vitest';
import { buildAnswer, pushProvenanceHeaders } from '@tidegate/shared/serving/http/answer-body.js';
import { parseAnswer } from '@tidegate/shared/serving/http/parse-answer.js';
import type { Provenance } from '@tidegate/shared/serving/inference-service.js';

it('marks a stale answer from the cache, and only that', () => {
  const digests = { modelDigest: 'm', variant: 'v', variantDigest: 'd' };
  const from: Provenance = {
    placement: 'cache',
    reason: 'kept',
    ...digests,
    queueUs: 0,
    computeUs: 0,
    cacheLayer: 'disk',
  };
  const headersOf = (provenance: Provenance): string => {
    const headers: string[] = [];
    pushProvenanceHeaders(headers, provenance);
    return headers.join(' ');
  };
  expect(headersOf(from)).toContain('tidegate-cache-layer disk');
  expect(headersOf(from)).not.toContain('stale');
  expect(headersOf({ ...from, cacheStale: true })).toContain('tidegate-cache stale');
});

it('says which provider ran, and why it is not the one that was asked for, only where something ran', () => {
  const from: Provenance = {
    placement: 'edge',
    reason: 'answered on the device',
    ...{ modelDigest: 'm', variant: 'v', variantDigest: 'd', queueUs: 0, computeUs: 0 },
  };
  const ranOn = { provider: 'cpu', providerReason: 'fell back to cpu; webgpu: „no“ adapter' } as const;
  const said = (provenance: Provenance) => {
    const headers: string[] = [];
    pushProvenanceHeaders(headers, provenance);
    const { json } = buildAnswer({ model: 'm', version: '1', outputs: [], provenance }, undefined, [], false);
    return { headers: headers.join(' '), parameters: (JSON.parse(json) as { parameters: object }).parameters };
  };
  expect(said(from).parameters).not.toHaveProperty('provider');
  expect(said({ ...from, ranOn }).parameters).toMatchObject({
    provider: 'cpu',
    provider_reason: ranOn.providerReason,
  });
  expect(said({ ...from, ranOn }).headers).toContain(
    'tidegate-provider cpu tidegate-provider-reason fell back to cpu; webgpu: ?no? adapter',
  );
  const partly = said({ ...from, ranOn: { provider: 'webgpu', cpuNodesRatio: 0.125 } });
  expect(partly.parameters).toMatchObject({ provider: 'webgpu', cpu_nodes_ratio: 0.125 });
  expect(partly.headers).toContain('tidegate-provider webgpu tidegate-cpu-nodes-ratio 0.125');
});

it('is read again by who asks another server', () => {
  const ranOn = { provider: 'webgpu', providerReason: 'fell back', cpuNodesRatio: 0.25 } as const;
  const digests = { modelDigest: 'm', variant: 'v', variantDigest: 'd' };
  const provenance = { placement: 'hub', reason: 'r', ...digests, queueUs: 0, computeUs: 0, ranOn } as const;
  const { json } = buildAnswer({ model: 'm', version: '1', outputs: [], provenance }, undefined, [], false);
  expect(parseAnswer(Buffer.from(json), {}).provenance).toEqual(provenance);
  const strange = json.replace('"webgpu"', '"abacus"');
  expect(parseAnswer(Buffer.from(strange), {}).provenance.ranOn).toBeUndefined();
  const wrong = json.replace('0.25', '25');
  expect(parseAnswer(Buffer.from(wrong), {}).provenance.ranOn).toEqual({
    provider: 'webgpu',
    providerReason: 'fell back',
  });
});
