// Rollouts as they move: waves, devices, the gate's last word, and the canaries' confidence against the control's.
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { Rollout } from '@tidegate/shared/wire/admin-api.js';
import { EvidenceChart } from './evidence-chart.js';
import { messageOf, ms, ratio } from './format.js';
import type { HubClient } from './hub-client.js';
import type { LiveState } from './live-state.js';

const TONE: Readonly<Record<Rollout['state'], string>> = {
  running: 'busy',
  paused: 'idle',
  completed: 'good',
  halted: 'bad',
  aborted: 'idle',
};

export function RolloutsPage({ state, client }: { state: LiveState; client: HubClient }): JSX.Element {
  if (state.rollouts.length === 0) {
    return (
      <p class="empty">
        No rollout yet. Start one with <code>tidegate rollout start MODEL@VERSION --group G --waves 10%,50%,100%</code>.
      </p>
    );
  }
  return (
    <>
      {state.rollouts.map((rollout) => (
        <RolloutCard key={rollout.id} rollout={rollout} state={state} client={client} />
      ))}
    </>
  );
}

function RolloutCard(props: { rollout: Rollout; state: LiveState; client: HubClient }): JSX.Element {
  const { rollout, state, client } = props;
  const [error, setError] = useState<string>();
  const command = (verb: 'pause' | 'resume' | 'abort'): void => {
    if (verb === 'abort' && !confirm(`Abort and take every device of ${rollout.model} back?`)) return;
    client.command(rollout.id, verb).then(
      () => setError(undefined),
      (cause: unknown) => setError(messageOf(cause)),
    );
  };
  const open = rollout.state === 'running' || rollout.state === 'paused';
  const history = state.history.get(rollout.id) ?? [];
  return (
    <article class="card">
      <div class="card-head">
        <h2>
          {rollout.model}@{rollout.version} <small>to group {rollout.group}</small>
        </h2>
        <span class={`badge ${TONE[rollout.state]}`}>{rollout.state}</span>
        {(rollout.state === 'halted' || rollout.state === 'aborted') && (
          <span class={`badge ${rollout.rolledBack ? 'good' : 'busy'}`}>
            {rollout.rolledBack ? 'rolled back' : 'rolling back'}
          </span>
        )}
        <span class="spacer" />
        {rollout.state === 'running' && <button onClick={() => command('pause')}>Pause</button>}
        {rollout.state === 'paused' && <button onClick={() => command('resume')}>Resume</button>}
        {open && (
          <button class="danger" onClick={() => command('abort')}>
            Abort
          </button>
        )}
      </div>
      <p class="reason">{rollout.reason}</p>
      {error !== undefined && <p class="error">{error}</p>}
      <Waves rollout={rollout} />
      {rollout.evidence !== undefined && <EvidenceTable evidence={rollout.evidence} />}
      {history.length > 2 && <EvidenceChart points={history} />}
    </article>
  );
}

/** An ended rollout has no current wave: what it reached is done, or the wave that it stopped at is bad. */
function waveClass({ state, wave }: Rollout, number: number): string {
  if (number > wave) return '';
  if (number < wave || state === 'completed') return 'past';
  return state === 'halted' || state === 'aborted' ? 'stopped' : 'current';
}

function Waves({ rollout }: { rollout: Rollout }): JSX.Element {
  return (
    <ol class="waves">
      {rollout.waves.map((wave, i) => (
        <li key={wave.share} class={waveClass(rollout, i + 1)}>
          <b>{Math.round(wave.share * 100)}%</b>
          <span>
            {rollout.devices
              .filter((device) => device.wave === i + 1)
              .map((device) => (
                <i
                  key={device.id}
                  class={`dot ${device.state}`}
                  title={`${device.id}: ${device.detail ?? device.state}`}
                />
              ))}
          </span>
        </li>
      ))}
    </ol>
  );
}

function EvidenceTable({ evidence }: { evidence: NonNullable<Rollout['evidence']> }): JSX.Element {
  const row = (label: string, figures: Record<string, number>): JSX.Element => (
    <tr>
      <th>{label}</th>
      <td>{figures['requests'] ?? '–'}</td>
      <td>{figures['errorRate'] === undefined ? '–' : `${(figures['errorRate'] * 100).toFixed(1)}%`}</td>
      <td>{ms(figures['p99Ms'])}</td>
      <td>{ratio(figures['meanConfidence'])}</td>
    </tr>
  );
  return (
    <table class="evidence">
      <thead>
        <tr>
          <th />
          <th>requests</th>
          <th>errors</th>
          <th>p99</th>
          <th>confidence</th>
        </tr>
      </thead>
      <tbody>
        {row('new version', evidence.canary)}
        {row('control', evidence.control)}
      </tbody>
    </table>
  );
}
