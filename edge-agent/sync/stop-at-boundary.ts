// For the fault tests only: ends the process as a power cut would, with SIGKILL to itself, right before or after a step of an
// activation. Nothing happens unless both variables are set:
//   FAULTS_ALLOWED=yes  FAULT_STOP_AT=<step>:<begin|end>   for example load:begin
import type { Log } from '@tidegate/shared/system/log.js';
import type { SyncStep } from './plan.js';

type AtBoundary = (step: SyncStep['kind'], edge: 'begin' | 'end') => void;

export function stopAtBoundary(
  environment: Readonly<Record<string, string | undefined>>,
  log: Log,
  end: () => void = () => process.kill(process.pid, 'SIGKILL'),
): AtBoundary | undefined {
  const wanted = environment['FAULT_STOP_AT'];
  if (wanted === undefined || environment['FAULTS_ALLOWED'] !== 'yes') return undefined;
  log.warn({ at: wanted }, 'this process will kill itself: FAULT_STOP_AT is set');
  return (step, edge) => {
    if (`${step}:${edge}` === wanted) end();
  };
}
