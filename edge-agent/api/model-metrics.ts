// The metrics of what computes here: executors, scheduling, sequences, providers, memory and cores.
import type { EngineSlots } from '../engine/engine-slots.js';
import type { AddFamily } from './scraped-families.js';

const MODEL_FAMILIES = {
  tidegate_executor_runs_total: ['Runs that executors were given', 'runs'],
  tidegate_executor_rows_total: ['Rows in those runs; more than runs where requests were batched', 'rows'],
  tidegate_scheduler_refused_total: ['Requests refused at admission', 'refused'],
  tidegate_scheduler_expired_total: ['Requests whose deadline passed in the queue or in a run', 'expired'],
  tidegate_scheduler_cancelled_total: ['Requests whose caller went away before the answer', 'cancelled'],
  tidegate_scheduler_retried_total: ['Requests repeated after their executor died or hung', 'retried'],
  tidegate_scheduler_repeated_total: ["Runs that made way for a light caller's request, and were repeated", 'repeated'],
  tidegate_scheduler_padded_total: ['Runs of requests that differed in a length', 'padded'],
  tidegate_scheduler_queue_depth: ['Requests waiting now', 'queueDepth'],
  tidegate_scheduler_running: ['Runs in flight now', 'running'],
} as const;

const MEMORY_FAMILIES = {
  tidegate_memory_budget_bytes: ['What agent and executors may use together; 0 without a budget', 'budgetBytes'],
  tidegate_memory_used_bytes: ['What agent and executors used when last measured', 'usedBytes'],
  tidegate_memory_over_budget_total: [
    'Times that more was used than the budget allows, and nothing could leave',
    'overBudget',
  ],
} as const;

const CORES_FAMILIES = {
  tidegate_cores: ['Cores that models compute on', 'count'],
  tidegate_cores_busy: [
    'Of them, those that compute now; more than there are where runs of several threads share them',
    'busy',
  ],
  tidegate_cores_waiting: ['Requests that wait for them, over all models', 'waiting'],
} as const;

const RESIDENCY_FAMILIES = {
  tidegate_model_memory_bytes: ['What its executors use, as last measured; 0 while it is not in memory', 'bytes'],
  tidegate_model_loads_total: [
    'Times that it was loaded since the version is on the device, the first included',
    'loads',
  ],
  tidegate_model_memory_refused_total: ['Requests that did not wait for it to be in memory, or could not', 'refusals'],
} as const;

/** Of models, executors, cores and memory. */
export function addModels(add: AddFamily, slots: EngineSlots): void {
  for (const [name, [help, field]] of Object.entries(MODEL_FAMILIES)) {
    add(name, help, ['model'], () =>
      slots.names().map((model) => ({ labels: { model }, value: slots.serving(model)?.counts[field] ?? 0 })),
    );
  }
  addMemory(add, slots);
  addProviders(add, slots);
  add('tidegate_executors', 'Executor processes that hold models now; small proven ones share some', [], () => [
    { labels: {}, value: slots.executorPids.size },
  ]);
  add(
    'tidegate_executor_deaths_total',
    'Executors that ended unasked, or were ended for hanging, since the version was loaded',
    ['model'],
    () => slots.names().map((model) => ({ labels: { model }, value: slots.serving(model)?.executorDeaths ?? 0 })),
  );
  add(
    'tidegate_model_quarantined',
    '1 while the model answers nothing here, since its executors died too often',
    ['model'],
    () =>
      slots.names().map((model) => ({
        labels: { model },
        value: slots.serving(model)?.quarantine === undefined ? 0 : 1,
      })),
  );
  addSequences(add, slots);
  addBranches(add, slots);
  add(
    'tidegate_model_info',
    '1 for each active model, with what runs as labels',
    ['model', 'version', 'variant', 'digest', 'provider'],
    () =>
      slots.names().flatMap((model) => {
        const active = slots.active(model);
        if (active === undefined) return [];
        const { version, variant, variantDigest: digest } = active.source;
        return [{ labels: { model, version, variant, digest, provider: active.provider.runs }, value: 1 }];
      }),
  );
}

function addProviders(add: AddFamily, slots: EngineSlots): void {
  add('tidegate_model_threads', 'Threads of one run of an active model', ['model'], () =>
    slots.names().flatMap((model) => {
      const value = slots.active(model)?.served.threads;
      return value === undefined ? [] : [{ labels: { model }, value }];
    }),
  );
  add(
    'tidegate_model_cpu_nodes_ratio',
    'Share of the nodes of an active model that the CPU runs; absent where the engine cannot tell',
    ['model', 'provider'],
    () =>
      slots.names().flatMap((model) => {
        const { runs: provider, cpuNodesRatio: value } = slots.active(model)?.provider ?? {};
        return provider === undefined || value === undefined ? [] : [{ labels: { model, provider }, value }];
      }),
  );
}

function addBranches(add: AddFamily, slots: EngineSlots): void {
  add(
    'tidegate_branch_items_total',
    'Items for which a branch of the pipeline took a side, since the version was loaded',
    ['model', 'step', 'side'],
    () =>
      slots.names().flatMap((model) =>
        [...(slots.serving(model)?.sides ?? [])].flatMap(([step, { held, other }]) => [
          { labels: { model, step, side: 'first' }, value: held },
          { labels: { model, step, side: 'second' }, value: other },
        ]),
      ),
  );
}

/** Of models with state. */
function addSequences(add: AddFamily, slots: EngineSlots): void {
  const counts = () => slots.names().flatMap((model) => ({ model, ...slots.sequenceCounts(model) }));
  add('tidegate_sequences_live', 'Sequences whose state is held now', ['model'], () =>
    counts().flatMap(({ model, live }) => (live === undefined ? [] : { labels: { model }, value: live })),
  );
  add('tidegate_sequences_started_total', 'Sequences that have begun', ['model'], () =>
    counts().flatMap(({ model, started }) => (started === undefined ? [] : { labels: { model }, value: started })),
  );
  add('tidegate_sequences_ended_total', 'Sequences that have ended, by why', ['model', 'why'], () =>
    counts().flatMap(({ model, ended = {} }) =>
      Object.entries(ended).map(([why, value]) => ({ labels: { model, why }, value })),
    ),
  );
}

function addMemory(add: AddFamily, slots: EngineSlots): void {
  for (const [name, [help, field]] of Object.entries(MEMORY_FAMILIES)) {
    add(name, help, [], () => [{ labels: {}, value: slots.memory[field] ?? 0 }]);
  }
  for (const [name, [help, field]] of Object.entries(CORES_FAMILIES)) {
    add(name, help, [], () => [{ labels: {}, value: slots.cores[field] }]);
  }
  for (const [name, [help, field]] of Object.entries(RESIDENCY_FAMILIES)) {
    add(name, help, ['model'], () =>
      slots.names().map((model) => ({ labels: { model }, value: slots.active(model)?.residency?.[field] ?? 0 })),
    );
  }
  add('tidegate_model_evictions_total', 'Times that the model left memory, by why', ['model', 'why'], () =>
    slots.names().flatMap((model) =>
      Object.entries(slots.active(model)?.residency?.evictions ?? {}).map(([why, value]) => ({
        labels: { model, why },
        value,
      })),
    ),
  );
}
