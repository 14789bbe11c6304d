// `tidegate-agent serve MODEL...`: answers inference for local files, without any hub. All models are found and loaded before
// the ready line; one that can't be loaded stops the start, so that nobody finds out by a failed request.
import type { Command } from 'commander';
import { findPackages } from '@tidegate/shared/package/find-packages.js';
import { openPackage } from '@tidegate/shared/package/open-package.js';
import type { InferClient } from '@tidegate/shared/serving/http/infer-client.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { createAgent, type Agent } from '../agent.js';
import { openLog } from '@tidegate/shared/system/open-log.js';
import { SETTING_NAMES, type SettingName, type Settings } from '../config/settings-table.js';
import type { ModelSource } from '../engine/model-slots.js';
import { addSettingsOptions, settingsOf } from './settings-options.js';
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

/** What local files are called where nothing says it. */
const LOCAL_VERSION = '1';
const LOCAL_VARIANT = 'as-given';

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
  const sources = await findSources(models, stopping.signal);
  const hub = await openHub(settings);
  const agent = createAgent(settings, {
    clock: systemClock,
    log,
    version: context.version,
    mode: 'serve',
    hub,
    observers: [],
  });
  try {
    const { http } = await agent.listen(); // a taken port is found out before models take their time
    await loadAll(agent, sources, stopping.signal);
    agent.open();
    context.stdout.write(`ready http=${http}\n`);
    log.info({ http, models: agent.slots.names() }, 'serving');
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

async function loadAll(agent: Agent, sources: readonly ModelSource[], signal: AbortSignal): Promise<void> {
  for (const source of sources) {
    try {
      agent.slots.activate(await agent.slots.prepare(source, signal));
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`model '${source.name}' (${source.path}) can't be served: ${reason}`, { cause });
    }
  }
}

/** Throws UsageError where two paths give models of one name, PackageError where a path holds none. */
async function findSources(paths: readonly string[], signal: AbortSignal): Promise<ModelSource[]> {
  const byName = new Map<string, ModelSource>();
  for (const path of paths) {
    for (const found of await findPackages(path)) {
      const pack = await openPackage(
        found.path,
        { inspect: inspectGraphFile },
        { signal, ...(found.name === undefined ? {} : { name: found.name }) },
      );
      const { name } = pack.yaml;
      const before = byName.get(name);
      if (before !== undefined) {
        throw new UsageError(`two models are called '${name}': ${before.path} and ${found.path}`);
      }
      byName.set(name, {
        name,
        version: found.version ?? LOCAL_VERSION,
        versionDigest: pack.versionDigest,
        variant: LOCAL_VARIANT,
        variantDigest: pack.versionDigest,
        path: found.path,
        verified: false,
      });
    }
  }
  return [...byName.values()];
}
