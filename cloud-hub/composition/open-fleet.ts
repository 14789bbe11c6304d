// The fleet side: who devices are, what they should run, rollouts, and the two ports that devices use. The broker's hint and the device
// port's truth both come from the fleet, and the fleet pushes through the broker: the one circle here, closed by LatePublisher.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import type { OipHandler } from '@tidegate/shared/serving/http/oip-handler.js';
import type { DesiredState } from '@tidegate/shared/wire/desired-state.js';
import type { AnswerDoorModules } from '../api/device/answer-door.js';
import { createDevicePort, type DevicePort } from '../api/device/device-port.js';
import type { RevokeDevice } from '../api/fleet-routes.js';
import { createBroker } from '../broker/aedes/aedes-broker.js';
import type { DeviceBroker } from '../broker/device-broker.js';
import type { HubSettings } from '../config/settings-table.js';
import type { SampleIntake } from '../data/sample-intake.js';
import type { DesiredPublisher } from '../fleet/fleet.js';
import { FleetService } from '../fleet/fleet-service.js';
import { ProviderWatch } from '../fleet/provider-watch.js';
import type { RegistryService } from '../registry/registry-service.js';
import { RolloutService } from '../rollouts/rollout-service.js';
import { recordAudit } from '../security/audit.js';
import { openCertificateAuthority, type CertificateAuthority } from '../security/certificate-authority.js';
import { Enrolment } from '../security/enrolment.js';
import type { Closing } from './closing.js';
import type { SharedCacheParts } from './open-shared-cache.js';
import type { Parts } from './parts.js';

export interface FleetParts {
  readonly fleet: FleetService;
  readonly providers: ProviderWatch;
  readonly rollouts: RolloutService;
  readonly enrolment: Enrolment;
  readonly revokeDevice: RevokeDevice;
  readonly port: DevicePort;
  readonly broker: DeviceBroker;
}

/** Until the broker listens there is nobody to tell; devices then ask by HTTPS, and are told when they subscribe. */
class LatePublisher implements DesiredPublisher {
  broker: DesiredPublisher | undefined;

  async publish(deviceId: string, desired: DesiredState): Promise<void> {
    await this.broker?.publish(deviceId, desired);
  }
}

/** Listens on both device ports; closing them is the caller's. Rejects where one is taken. */
export async function openFleet(
  parts: Parts,
  registry: RegistryService,
  oip: OipHandler,
  samples: SampleIntake,
  shared: SharedCacheParts,
  closing: Closing,
): Promise<FleetParts> {
  const { clock, log, db, keys, events } = parts;
  const publisher = new LatePublisher();
  const common = { db, registry, audit: recordAudit, clock, log };
  const providers = new ProviderWatch(log);
  const fleet = new FleetService({
    ...common,
    publisher,
    onDevice: (device) => {
      providers.saw(device);
      events.emit({ kind: 'device', device });
    },
  });
  await fleet.start();
  for (const device of await fleet.devicesFallenBack()) providers.saw(device);
  const rollouts = new RolloutService({
    ...common,
    fleet,
    onRollout: (rollout) => events.emit({ kind: 'rollout', rollout }),
  });
  closing.add('rollouts', () => rollouts.stop());
  const ca = await openCertificateAuthority({ keys, clock });
  const ports = await openPorts(parts, fleet, ca, oip, samples, shared.door);
  publisher.broker = ports.broker;
  const revokeDevice: RevokeDevice = async (deviceId, actor) => {
    const known = await ports.enrolment.revoke(deviceId, actor);
    ports.broker.disconnect(deviceId);
    shared.answers?.forget(deviceId);
    return (await fleet.revoked(deviceId)) && known;
  };
  return { fleet, providers, rollouts, revokeDevice, ...ports };
}

async function openPorts(
  parts: Parts,
  fleet: FleetService,
  ca: CertificateAuthority,
  oip: OipHandler,
  samples: SampleIntake,
  answers: AnswerDoorModules,
): Promise<Pick<FleetParts, 'enrolment' | 'port' | 'broker'>> {
  const { clock, log, db, files, tuf, content, settings } = parts;
  const name = deviceHost(settings);
  let ports: { device: number; mqtt: number } | undefined;
  const numbers = (): { device: number; mqtt: number } => {
    if (ports === undefined) throw new Error('the device ports do not listen yet');
    return ports;
  };
  const deviceUrl = (): string => `https://${name}:${numbers().device}`;
  const mqttUrl = (): string => `mqtts://${name}:${numbers().mqtt}`;
  const enrolment = await Enrolment.open({ db, ca, clock, audit: recordAudit, deviceUrl });
  const names = certificateNames(settings);
  const common = { ca, gateway: fleet, enrolment, clock, log };
  const broker = await createBroker({ host: settings.host, port: settings.mqttPort, names }, common);
  try {
    const inference = (request: IncomingMessage, response: ServerResponse, deviceId: string): boolean =>
      oip(request, response, { identity: `device:${deviceId}` });
    const port = await createDevicePort(
      { host: settings.host, port: settings.devicePort, names },
      { ...common, tuf, content, files, samples, answers, deviceUrl, mqttUrl, inference },
    );
    ports = { device: port.port, mqtt: broker.port };
    return { enrolment, port, broker };
  } catch (cause) {
    await broker.close();
    throw cause;
  }
}

type Hosts = Pick<HubSettings, 'host' | 'publicHost'>;

/** What devices are told to reach the hub by. */
export function deviceHost({ host, publicHost }: Hosts): string {
  const name = publicHost ?? (isWildcard(host) ? hostname() : host);
  return isIP(name) === 6 ? `[${name}]` : name;
}

/** Every name under which a device may have been told of this hub. */
export function certificateNames({ host, publicHost }: Hosts): string[] {
  const names = [publicHost, isWildcard(host) ? hostname() : host, 'localhost', '127.0.0.1', '::1'];
  return [...new Set(names.filter((name) => name !== undefined))];
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::' || host === '';
}
