// What the device port answers, by path (shared/wire/device-api.ts). Who calls is known from the certificate before a route
// runs; a document that names another device than its sender is refused.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ContentStore } from '@tidegate/shared/content/content-store.js';
import type { Files } from '@tidegate/shared/system/files.js';
import { devicePaths } from '@tidegate/shared/wire/device-api.js';
import { enrolRequestSchema, type EnrolResponse } from '@tidegate/shared/wire/enrolment.js';
import { reportedStateSchema } from '@tidegate/shared/wire/reported-state.js';
import { telemetryRecordSchema } from '@tidegate/shared/wire/telemetry.js';
import type { SampleIntake } from '../../data/sample-intake.js';
import type { DeviceGateway } from '../../fleet/fleet.js';
import type { CertificateAuthority } from '../../security/certificate-authority.js';
import type { Peer } from '../../security/device-certificate.js';
import type { Enrolment } from '../../security/enrolment.js';
import type { TufRepository } from '../../security/tuf-repository.js';
import { AnswerDoor, type AnswerDoorModules } from './answer-door.js';
import { DeviceError, sendJson } from './device-error.js';
import { readDocument } from './read-document.js';
import { SampleDoor } from './sample-door.js';
import { sendFile } from './send-file.js';

const LIMIT_ENROL_BYTES = 16 * 1024;
export const LIMIT_DOCUMENT_BYTES = 1024 * 1024;
const IMMUTABLE = 'private, max-age=31536000, immutable';

export interface DeviceRoutesModules {
  readonly gateway: DeviceGateway;
  readonly enrolment: Pick<Enrolment, 'enrol' | 'renew' | 'isRevoked'>;
  readonly ca: Pick<CertificateAuthority, 'certificatePem'>;
  readonly tuf: Pick<TufRepository, 'root' | 'metadataPath' | 'targetPath'>;
  readonly content: Pick<ContentStore, 'path'>;
  readonly files: Files;
  readonly samples: Pick<SampleIntake, 'take'>;
  /** Answers that devices share. */
  readonly answers: AnswerDoorModules;
  /** How devices reach the ports; known once they listen. */
  readonly deviceUrl: () => string;
  readonly mqttUrl: () => string;
  /** The hub's inference, for `/v2` (and `/v1`): answers the request wholly, true when the path is its own. */
  readonly inference: (request: IncomingMessage, response: ServerResponse, deviceId: string) => boolean;
}

export class DeviceRoutes {
  readonly #m: DeviceRoutesModules;
  readonly #samples: SampleDoor;
  readonly #answers: AnswerDoor;

  constructor(modules: DeviceRoutesModules) {
    this.#m = modules;
    this.#samples = new SampleDoor(modules.samples);
    this.#answers = new AnswerDoor(modules.answers);
  }

  /** Rejects with DeviceError or SecurityError for what is refused. */
  async answer(request: IncomingMessage, response: ServerResponse, peer: Peer): Promise<void> {
    const path = (request.url ?? '/').split('?')[0] ?? '/';
    if (path === devicePaths.enrol) {
      allow(request, 'POST');
      return this.#enrol(request, response);
    }
    if (path === devicePaths.renew) {
      allow(request, 'POST');
      const { certificatePem } = await this.#m.enrolment.renew(this.#renewing(peer));
      return sendJson(response, 200, { certificatePem: certificatePem + this.#m.ca.certificatePem });
    }
    const deviceId = this.#device(peer);
    if (path.startsWith('/tuf/') || path.startsWith(devicePaths.blob(''))) {
      allow(request, 'GET', 'HEAD');
      return this.#sendStored(request, response, path);
    }
    if (path.startsWith(devicePaths.sample(''))) {
      allow(request, 'PUT');
      return this.#samples.answer(request, response, path.slice(devicePaths.sample('').length), deviceId);
    }
    if (path.startsWith(devicePaths.answer(''))) {
      allow(request, 'GET', 'PUT');
      return this.#answers.answer(request, response, path.slice(devicePaths.answer('').length), deviceId);
    }
    switch (path) {
      case devicePaths.desired:
        allow(request, 'GET');
        return this.#desired(request, response, deviceId);
      case devicePaths.reported:
        allow(request, 'PUT');
        return this.#reported(request, response, deviceId);
      case devicePaths.telemetry:
        allow(request, 'POST');
        return this.#telemetry(request, response, deviceId);
    }
    if (this.#m.inference(request, response, deviceId)) return;
    throw new DeviceError(404, 'not-found', `there is nothing at ${path}`);
  }

  async #enrol(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const wanted = await readDocument(request, enrolRequestSchema, LIMIT_ENROL_BYTES);
    const { device, certificatePem } = await this.#m.enrolment.enrol(wanted);
    await this.#m.gateway.enrolled(device);
    const answer: EnrolResponse = {
      deviceId: device.id,
      certificatePem: certificatePem + this.#m.ca.certificatePem,
      caPem: this.#m.ca.certificatePem,
      group: device.group,
      deviceUrl: this.#m.deviceUrl(),
      mqttUrl: this.#m.mqttUrl(),
      tufRoot: this.#m.tuf.root(),
    };
    sendJson(response, 201, answer);
  }

  async #desired(request: IncomingMessage, response: ServerResponse, deviceId: string): Promise<void> {
    const desired = await this.#m.gateway.desired(deviceId);
    if (desired === undefined)
      throw new DeviceError(403, 'unknown-device', `the hub does not know ${deviceId} any more`);
    const etag = `"${desired.version}"`;
    response.setHeader('etag', etag);
    response.setHeader('cache-control', 'no-cache');
    if (request.headers['if-none-match'] === etag) response.writeHead(304).end();
    else sendJson(response, 200, desired);
  }

  async #reported(request: IncomingMessage, response: ServerResponse, deviceId: string): Promise<void> {
    const report = await readDocument(request, reportedStateSchema, LIMIT_DOCUMENT_BYTES);
    requireOwn(report.deviceId, deviceId);
    await this.#m.gateway.reported(deviceId, report);
    response.writeHead(204).end();
  }

  async #telemetry(request: IncomingMessage, response: ServerResponse, deviceId: string): Promise<void> {
    const record = await readDocument(request, telemetryRecordSchema, LIMIT_DOCUMENT_BYTES);
    requireOwn(record.deviceId, deviceId);
    await this.#m.gateway.telemetry(deviceId, record);
    sendJson(response, 200, { seq: record.seq });
  }

  async #sendStored(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    const { content, tuf, files } = this.#m;
    const hex = path.slice(devicePaths.blob('').length);
    if (path.startsWith(devicePaths.blob('')) && /^[0-9a-f]{64}$/.test(hex)) {
      const blob = { path: content.path(`sha256:${hex}`), type: 'application/octet-stream', etag: `"${hex}"` };
      return sendFile(request, response, { ...blob, cacheControl: IMMUTABLE }, files);
    }
    const metadata = path.startsWith(devicePaths.tufMetadata) ? path.slice(devicePaths.tufMetadata.length) : undefined;
    const target = path.startsWith(devicePaths.tufTargets) ? path.slice(devicePaths.tufTargets.length) : undefined;
    const file =
      metadata !== undefined ? tuf.metadataPath(metadata) : target !== undefined ? tuf.targetPath(target) : undefined;
    if (file === undefined) throw new DeviceError(404, 'not-found', `there is nothing at ${path}`);
    const cacheControl = metadata === 'timestamp.json' ? 'no-cache' : IMMUTABLE;
    return sendFile(request, response, { path: file, type: 'application/json', cacheControl }, files);
  }

  #device(peer: Peer): string {
    switch (peer.kind) {
      case 'none':
        throw new DeviceError(401, 'certificate-required', 'a device certificate is needed; enrol first');
      case 'foreign':
        throw new DeviceError(403, 'foreign-certificate', 'the client certificate is none of this hub');
      case 'expired':
        throw new DeviceError(403, 'certificate-expired', `the certificate has expired; POST ${devicePaths.renew}`);
      case 'device':
        return this.#notRevoked(peer.deviceId);
    }
  }

  /** An expired certificate still proves the key, and the key is what was enrolled (field lesson B3). */
  #renewing(peer: Peer): string {
    return peer.kind === 'expired' ? this.#notRevoked(peer.deviceId) : this.#device(peer);
  }

  #notRevoked(deviceId: string): string {
    if (this.#m.enrolment.isRevoked(deviceId))
      throw new DeviceError(403, 'revoked', `the device ${deviceId} was shut out`);
    return deviceId;
  }
}

function allow(request: IncomingMessage, ...methods: readonly string[]): void {
  if (methods.includes(request.method ?? '')) return;
  throw new DeviceError(
    405,
    'method-not-allowed',
    `${request.method} is not possible here; ${methods.join(' or ')} is`,
  );
}

function requireOwn(stated: string, deviceId: string): void {
  if (stated === deviceId) return;
  throw new DeviceError(403, 'other-device', `the document is of ${stated}, its sender is ${deviceId}`, {
    field: 'deviceId',
  });
}
