// A whole hub with a model that classifies (four classes, by the largest of four numbers) and whose policy allows capture, and a device that
// is enrolled there and sends samples over its own port.
import { follow, openForPublish, publish } from '@tidegate/cloud-hub/cli/publish.js';
import { enrol } from '@tidegate/edge-agent/identity/enrol.js';
import { hubDispatcher, trustOf } from '@tidegate/edge-agent/identity/hub-transport.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { bytesOf, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { enrolmentTokenCreatedSchema } from '@tidegate/shared/wire/admin-api.js';
import { devicePaths } from '@tidegate/shared/wire/device-api.js';
import { hexOf } from '@tidegate/shared/wire/digest.js';
import { encodeSample, sampleId, type SampleFacts } from '@tidegate/shared/wire/sample.js';
import { request } from 'undici';
import { writeBarePackage } from './bare-package.js';
import { runHub, type RunningHub } from './running-hub.js';
import { silentStreams } from './silent-streams.js';

export const CLASSES = ['ant', 'bee', 'cat', 'dog'] as const;

export interface HubWithSamples {
  readonly running: RunningHub;
  /** Sends a sample of `things` as the device does; returns the hex of its id and the answer's status. */
  send(values: readonly number[], facts?: Partial<SampleFacts>, more?: readonly NamedTensor[]): Promise<Sent>;
  close(): Promise<void>;
}

interface Sent {
  readonly hex: string;
  readonly status: number;
}

/** `folders` gives a new folder each time. */
export async function runHubWithSamples(folders: () => string): Promise<HubWithSamples> {
  const running = await runHub(folders());
  const pack = writeBarePackage(folders(), 'things', {
    outputs: '[{ name: label, datatype: BYTES, shape: [-1] }, { name: confidence, datatype: FP32, shape: [-1] }]',
    pipeline: `[{ graph: m.onnx }, { step: classify, inputs: [y], outputs: [label, confidence], with: { labels: [${CLASSES.join(', ')}] } }]`,
    confidence: '{ output: confidence, threshold: 0.5 }',
    privacy: '{ fallback: hub, capture: hub, telemetry: figures }',
  });
  const started = await publish(
    running.client,
    await openForPublish(pack),
    { allowUnknownLicence: false },
    silentStreams,
  );
  const version = await follow(running.client, started, silentStreams);
  const path = '/api/v1/enrolment-tokens';
  const { token } = await running.client.post(path, { group: 'shelf' }, enrolmentTokenCreatedSchema);
  const options = { dataDir: folders(), token, name: 'cam-1' };
  const identity = await enrol(options, { files: systemFiles, clock: systemClock }, new AbortController().signal);
  const dispatcher = hubDispatcher(trustOf(identity, { clock: systemClock, floorMs: () => Date.now() }));
  const variantDigest = version.variants.find(({ variant }) => variant === 'fp32')?.variantDigest;
  return {
    running,
    send: async (values, facts = {}, more = []) => {
      const body = encodeSample({
        facts: {
          ...{ model: 'things', versionDigest: version.digest, variantDigest },
          ...{ capturedAtMs: Date.now(), confidence: 0.25, reason: 'low-confidence', ...facts },
        },
        inputs: [tensor('x', 'FP32', [1, 4], bytesOf(Float32Array.from(values))), ...more],
        outputs: [tensor('label', 'BYTES', [1], encodeBytes([Buffer.from('bee')]))],
      });
      const hex = hexOf(sampleId(body));
      const answer = await request(identity.deviceUrl + devicePaths.sample(hex), { dispatcher, method: 'PUT', body });
      await answer.body.dump();
      return { hex, status: answer.statusCode };
    },
    close: async () => {
      await dispatcher.destroy();
      await running.hub.drain();
    },
  };
}
