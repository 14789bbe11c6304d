// `tidegate device`: what the fleet is and runs.
import { activationText } from '@tidegate/shared/wire/activation-text.js';
import { classFallbacks, fallbackText } from '@tidegate/shared/wire/provider-fallbacks.js';
import { providerText } from '@tidegate/shared/wire/provider-text.js';
import { deviceClassName } from '@tidegate/shared/wire/device-class-name.js';
import {
  deviceSchema,
  pageOf,
  telemetryRowSchema,
  type Device,
  type TelemetryRow,
} from '@tidegate/shared/wire/admin-api.js';
import { Command } from 'commander';
import { z } from 'zod';
import type { CliContext } from './context.js';
import { jsonText, tableText } from './output.js';

/** How many events of a device are shown, newest first. */
const EVENTS_SHOWN = 10;
const telemetrySchema = z.object({ items: z.array(telemetryRowSchema) });

export function deviceCommand(context: CliContext): Command {
  const list = new Command('list')
    .description('all devices')
    .option('--group <GROUP>', 'of one group only')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  tidegate device list --group shelf')
    .action(async (options: { group?: string; json?: true }) => {
      const group = options.group === undefined ? '' : `&group=${encodeURIComponent(options.group)}`;
      const devices = await (await context.client()).list(`/api/v1/devices?limit=500${group}`, pageOf(deviceSchema));
      context.stdout.write(options.json === true ? jsonText(devices) : devicesText(devices));
    });
  const show = new Command('show')
    .description('one device, and what it told of late')
    .argument('<DEVICE>', 'its id')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  tidegate device show cam-1')
    .action(async (id: string, options: { json?: true }) => {
      const client = await context.client();
      const path = `/api/v1/devices/${encodeURIComponent(id)}`;
      const device = await client.get(path, deviceSchema);
      const { items } = await client.get(`${path}/telemetry`, telemetrySchema);
      const events = items.flatMap((row) => row.events.toReversed()).slice(0, EVENTS_SHOWN);
      context.stdout.write(options.json === true ? jsonText({ ...device, events }) : deviceText(device, events));
    });
  const revoke = new Command('revoke')
    .description('shut a device out at once; it comes back only by enrolling again')
    .argument('<DEVICE>', 'its id or name')
    .addHelpText('after', '\nExample:\n  tidegate device revoke cam-1')
    .action(async (id: string) => {
      await (await context.client()).delete(`/api/v1/devices/${encodeURIComponent(id)}`);
      context.stdout.write(`${id} is shut out\n`);
    });
  return new Command('device').description('devices of the fleet').addCommand(list).addCommand(show).addCommand(revoke);
}

function stateOf(device: Device): string {
  if (device.revoked) return 'revoked';
  return device.online ? 'online' : 'offline';
}

function devicesText(devices: readonly Device[]): string {
  const head = ['DEVICE', 'NAME', 'GROUP', 'STATE', 'LAST SEEN', 'AGENT', 'RUNS'];
  const table = tableText(
    head,
    devices.map((device) => [
      device.id,
      device.name,
      device.group,
      stateOf(device),
      device.lastSeenAt ?? 'never',
      device.agentVersion ?? '-',
      device.models
        .map(({ name, running }) =>
          running === undefined ? `${name}: -` : `${name}@${running.version} ${running.variant}`,
        )
        .join(', '),
    ]),
  );
  const fallbacks = classFallbacks(devices).map((fallback) => `${fallbackText(fallback)}\n`);
  return fallbacks.length === 0 ? table : `${table}\n${fallbacks.join('')}`;
}

/** As a person reads it; `events` newest first. */
export function deviceText(device: Device, events: TelemetryRow['events']): string {
  const facts = [
    `${device.id} (${device.name}), group ${device.group}, ${stateOf(device)}`,
    `enrolled ${device.enrolledAt}, last seen ${device.lastSeenAt ?? 'never'}, agent ${device.agentVersion ?? 'unknown'}`,
    `class ${device.deviceClass === undefined ? 'unknown' : deviceClassName(device.deviceClass)}`,
    `desired state ${device.desiredVersion}, acted on ${device.reportedDesiredVersion ?? 'none yet'}`,
  ];
  const head = ['MODEL', 'VERSION', 'VARIANT', 'PROVIDER', 'COMMITTED', 'ACTIVATION'];
  const rows = device.models.map(({ name, running, activation }) => [
    name,
    running?.version ?? '-',
    running?.variant ?? '-',
    running === undefined ? '-' : providerText(running),
    running === undefined ? '-' : running.committed ? 'yes' : 'on probation',
    activation === undefined ? '-' : activationText(activation),
  ]);
  const told = events.map(({ atMs, kind, detail }) => [new Date(atMs).toISOString(), kind, detail]);
  const tables = [
    ...(rows.length === 0 ? [] : [tableText(head, rows)]),
    ...(told.length === 0 ? [] : [tableText(['AT', 'EVENT', 'DETAIL'], told)]),
  ];
  return [`${facts.join('\n')}\n`, ...tables].join('\n');
}
