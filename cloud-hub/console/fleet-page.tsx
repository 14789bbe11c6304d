// The fleet: how many devices are there and well, and what each runs.
import type { JSX } from 'preact';
import { activationText } from '@tidegate/shared/wire/activation-text.js';
import { classFallbacks, fallbackText } from '@tidegate/shared/wire/provider-fallbacks.js';
import { providerText } from '@tidegate/shared/wire/provider-text.js';
import type { Device } from '@tidegate/shared/wire/admin-api.js';
import { Figure } from './figure.js';
import { ago, shortDigest } from './format.js';
import type { LiveState } from './live-state.js';

export function FleetPage({ state }: { state: LiveState }): JSX.Element {
  const { devices } = state;
  const online = devices.filter((device) => device.online).length;
  const behind = devices.filter((device) => (device.reportedDesiredVersion ?? -1) < device.desiredVersion).length;
  const troubled = devices.filter((device) => device.models.some(isTroubled)).length;
  return (
    <>
      <section class="figures">
        <Figure value={devices.length} label="devices" />
        <Figure value={online} label="online" />
        <Figure value={behind} label="behind their desired state" tone={behind > 0 ? 'warn' : undefined} />
        <Figure value={troubled} label="need attention" tone={troubled > 0 ? 'bad' : undefined} />
      </section>
      {classFallbacks(devices).map((fallback) => (
        <p key={`${fallback.deviceClass} ${fallback.model}`} class="notice">
          {fallbackText(fallback)}
        </p>
      ))}
      {devices.length === 0 ? (
        <p class="empty">
          No device yet. Make a token with <code>tidegate group token create --group shop</code>, then{' '}
          <code>tidegate-agent enroll --hub URL --token T</code> on the device.
        </p>
      ) : (
        <table>
          <thead>
            <tr>
              <th>Device</th>
              <th>Group</th>
              <th>State</th>
              <th>Models running</th>
              <th>Class</th>
              <th>Last seen</th>
            </tr>
          </thead>
          <tbody>
            {devices.map((device) => (
              <DeviceRow key={device.id} device={device} />
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}

function isTroubled(model: Device['models'][number]): boolean {
  return model.activation !== undefined && model.activation.state !== 'running';
}

function DeviceRow({ device }: { device: Device }): JSX.Element {
  return (
    <tr>
      <td>
        <b>{device.name}</b>
        {device.agentVersion !== undefined && <small> agent {device.agentVersion}</small>}
      </td>
      <td>{device.group}</td>
      <td>
        <span class={`badge ${device.revoked ? 'bad' : device.online ? 'good' : 'idle'}`}>
          {device.revoked ? 'revoked' : device.online ? 'online' : 'offline'}
        </span>
        <small>
          {' '}
          desired {device.reportedDesiredVersion ?? '–'}/{device.desiredVersion}
        </small>
      </td>
      <td>
        {device.models.map((model) => (
          <div key={model.name}>
            {model.running === undefined ? (
              <span>{model.name}: not yet</span>
            ) : (
              <span title={model.running.variantDigest}>
                {model.name}@{model.running.version} <small>{model.running.variant}</small>{' '}
                <small class="mono">{shortDigest(model.running.variantDigest)}</small>
                <small title={model.running.providerReason}>on {providerText(model.running)}</small>
                {!model.running.committed && <span class="badge busy">probation</span>}
              </span>
            )}
            {model.activation !== undefined && (
              <span
                class={`badge ${model.activation.state === 'running' ? 'busy' : 'bad'}`}
                title={model.activation.error}
              >
                {model.activation.state === 'running'
                  ? activationText({ ...model.activation, error: undefined })
                  : model.activation.state}
              </span>
            )}
          </div>
        ))}
      </td>
      <td>
        {device.deviceClass !== undefined && (
          <small>
            {device.deviceClass.architecture} {device.deviceClass.provider}, {device.deviceClass.cores} cores,{' '}
            {device.deviceClass.memoryTierGiB} GiB
          </small>
        )}
      </td>
      <td>{ago(device.lastSeenAt)}</td>
    </tr>
  );
}
