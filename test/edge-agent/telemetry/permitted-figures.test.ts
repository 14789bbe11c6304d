import { expect, it } from 'vitest';
import { EvidenceWindow } from '@tidegate/edge-agent/telemetry/evidence.js';
import { permittedFigures } from '@tidegate/edge-agent/telemetry/permitted-figures.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import type { TelemetryRecord } from '@tidegate/shared/wire/telemetry.js';

function recordOf(...models: string[]): TelemetryRecord {
  const window = new EvidenceWindow();
  const request = { versionDigest: sha256('v'), variantDigest: sha256('a'), totalMs: 1, edgeConfidence: 0.5 };
  for (const model of models) window.add({ ...request, model, outcome: 'edge' });
  const events = [{ atMs: 1, kind: 'hub-link-lost', detail: 'closed' }];
  return { deviceId: 'd', seq: 3, fromMs: 0, toMs: 1, evidence: window.rows(), events };
}

it('leaves out the figures of models that allow none, and nothing else', () => {
  const record = recordOf('digits', 'faces', 'lines');
  const asked: string[] = [];
  const permitted = permittedFigures(record, (model) => (asked.push(model), model !== 'faces'));
  expect(permitted.evidence.map(({ model }) => model)).toEqual(['digits', 'lines']);
  expect(permitted).toEqual({ ...record, evidence: permitted.evidence });
  expect(asked).toEqual(['digits', 'faces', 'lines']);
  expect(permittedFigures(record, () => true)).toBe(record);
  expect(permittedFigures(record, () => false)).toMatchObject({ seq: 3, evidence: [], events: record.events });
});
