// What a start finds after the last run, before anything is planned: a database that was rebuilt takes what is active from
// the copy beside the models; an activation whose step may have killed the agent has that death counted, so that a version
// which does it again and again ends as failed instead of as a crash loop (field lesson B12). A clean stop counts nothing.
import type { Log } from '@tidegate/shared/system/log.js';
import type { ActiveMirror } from '../state/active-mirror.js';
import type { AgentState } from '../state/agent-state.js';

/** A death in a download or while hashing says nothing about the version. */
const DANGEROUS: ReadonlySet<string> = new Set(['load', 'warm-up', 'self-test', 'switch', 'probation']);

interface RecoverModules {
  readonly state: AgentState;
  readonly mirror: ActiveMirror;
  readonly log: Log;
}

/** Never fails a start: what can't be written now (a full disk) is only logged. */
export async function recover(modules: RecoverModules, signal: AbortSignal): Promise<void> {
  const { state, mirror, log } = modules;
  signal.throwIfAborted();
  try {
    if (state.rebuiltBecause !== undefined || state.activations.active().size === 0) {
      for (const [model, active] of await mirror.read()) {
        log.warn({ model, version: active.running.version }, 'active version taken from the copy beside the models');
        state.activations.saveActive(model, active, undefined);
      }
    }
    if (state.documents.takeCleanStop()) return;
    for (const record of state.activations.records()) {
      if (record.state !== 'running' || !DANGEROUS.has(record.step)) continue;
      state.activations.save({ ...record, interruptions: record.interruptions + 1 });
      log.warn({ model: record.target.name, step: record.step }, 'the agent ended in the middle of this step');
    }
  } catch (cause) {
    log.error({ error: (cause as Error).message }, 'what the last run left could not be put in order yet');
  }
}
