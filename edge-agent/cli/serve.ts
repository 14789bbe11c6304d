// `tidegate-agent serve MODEL...`: answers inference for local files, without any hub. All models are found and loaded before
// the ready line; one that can't be loaded stops the start, so that nobody finds out by a failed request. One that only doesn't fit the
// memory budget stops it where no other is served and no hub could answer.
import type { Command } from 'commander';
import type { InferClient } from '@tidegate/shared/serving/http/infer-client.js';
import { readCgroupLimits } from '@tidegate/shared/system/cgroup-limits.js';
import { SettingsError } from '@tidegate/shared/system/settings.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { collectGarbage } from '@tidegate/shared/system/collect-garbage.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { openTracing } from '@tidegate/shared/tracing/open-tracing.js';
import { createAgent } from '../agent.js';
import { openLog } from '@tidegate/shared/system/open-log.js';
import { SETTING_NAMES, type SettingName, type Settings } from '../config/settings-table.js';
import { findLocalModels, LocalModels, TwoModelsError, type FoundModel } from '../engine/local-models.js';
import { addSettingsOptions, settingsOf } from './settings-options.js';
import { readyLine } from './ready-line.js';
import { untilTerminated } from './until-terminated.js';
import { UsageError, type CliContext, type Verb } from './verb.js';

const EXAMPLE = `
MODEL is an .onnx file, a package folder (with a model.yaml), a folder of either, or a repository NAME/VERSION/model.onnx.

Example:
  tidegate-agent serve examples/digits --http-port 8000
  curl localhost:8000/v2/models/digits`;

/** Without enrolment there is nobody to capture for. */
const SERVE_SETTINGS = SETTING_NAMES.filter(
  (name): name is SettingName => name !== 'capture' && name !== 'captureLimit',
);

export const serveVerb: Verb = (program, context) => {
  const command = program
    .command('serve')
    .description('Answer inference for local models, without a hub')
    .argument('<MODEL...>', 'models to serve; local files on your word (shown as verified: false)')
    .addHelpText('after', EXAMPLE);
  addSettingsOptions(command, SERVE_SETTINGS).action((models: string[], _options: unknown, self: Command) =>
    serve(models, settingsOf(self, SERVE_SETTINGS, context), context),
  );
};

async function serve(models: readonly string[], settings: Settings, context: CliContext): Promise<void> {
  const log = openLog(settings, context.stderr);
  const stopping = untilTerminated(log);
  const found = await findModels(models, stopping.signal);
  checkPinned(settings.pin ?? [], found);
  const hub = await openHub(settings);
  const telling = { service: 'tidegate-agent', version: context.version, clock: systemClock, log };
  let local: LocalModels | undefined;
  const agent = createAgent(settings, {
    clock: systemClock,
    log,
    logControl: log,
    version: context.version,
    mode: 'serve',
    limits: await readCgroupLimits(systemFiles),
    hub,
    tracing: await openTracing(settings, telling),
    observers: [],
    control: (slots) => (local = new LocalModels(models, slots, log)),
    collectGarbage,
  });
  try {
    const { http, grpc } = await agent.listen(); // a taken port is found out before models take their time
    await local?.loadAll(found, stopping.signal, hub !== undefined);
    agent.open();
    context.stdout.write(readyLine({ http, grpc }));
    log.info({ http, grpc, models: agent.slots.names() }, 'serving');
    await stopping.terminated;
  } catch (error) {
    if (!stopping.signal.aborted) throw error; // else: what failed is what the signal ended
  } finally {
    await agent.close(settings.drainTimeout);
    await hub?.close();
    stopping.stop();
    log.info({}, 'stopped');
  }
}

/** The client is loaded only where there is a hub: its 9 MB are for nothing otherwise. */
async function openHub(settings: Settings): Promise<InferClient | undefined> {
  const { hub, hubToken, maxBodySize } = settings;
  if (hub === undefined) return undefined;
  const { createInferClient } = await import('@tidegate/shared/serving/http/infer-client.js');
  return createInferClient({
    url: hub.replace(/\/+$/, ''),
    clock: systemClock,
    answerBytesMax: maxBodySize,
    headers: hubToken === undefined ? {} : { authorization: `Bearer ${hubToken}` },
  });
}

/** Throws SettingsError for a name that no model has. */
function checkPinned(pinned: readonly string[], found: readonly FoundModel[]): void {
  const names = found.map(({ source }) => source.name);
  const unknown = pinned.find((name) => !names.includes(name));
  if (unknown === undefined) return;
  throw new SettingsError('pin', `--pin: no model here is called '${unknown}'; allowed: ${names.join(', ')}`);
}

/** Throws UsageError where two paths give models of one name. */
async function findModels(paths: readonly string[], signal: AbortSignal): Promise<FoundModel[]> {
  try {
    return await findLocalModels(paths, signal);
  } catch (error) {
    throw error instanceof TwoModelsError ? new UsageError(error.message) : error;
  }
}
