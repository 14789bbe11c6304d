// `tidegate model`: publish a package, look at models and their variants, write a first model.yaml.
import * as fs from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { modelNameFrom } from '@tidegate/shared/package/derive-model-yaml.js';
import { initModelYaml } from '@tidegate/shared/package/init-model-yaml.js';
import { PackageError } from '@tidegate/shared/package/package-error.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { modelSchema, pageOf, versionSchema, type Version } from '@tidegate/shared/wire/admin-api.js';
import { lineageSchema } from '@tidegate/shared/wire/training-api.js';
import type { VariantReport } from '@tidegate/shared/wire/variant-report.js';
import { Command } from 'commander';
import { CliError, wrongUsage } from './cli-error.js';
import type { CliContext } from './context.js';
import { lineageText } from './lineage-text.js';
import { jsonText, tableText } from './output.js';
import { follow, openForPublish, publish } from './publish.js';

export function modelCommand(context: CliContext): Command {
  return new Command('model')
    .description('models and their versions')
    .addCommand(publishCommand(context))
    .addCommand(listCommand(context))
    .addCommand(showCommand(context))
    .addCommand(lineageCommand(context))
    .addCommand(initCommand(context));
}

interface PublishOptions {
  readonly allowUnknownLicence?: true;
  readonly wait: boolean;
  readonly json?: true;
}

function publishCommand(context: CliContext): Command {
  return new Command('publish')
    .description('upload a package, follow its validation and optimising, print its variants')
    .argument('<DIR>', 'package folder with a model.yaml')
    .option('--allow-unknown-licence', 'publish although model.yaml says `licence: unknown`')
    .option('--no-wait', 'return once it is uploaded')
    .option('--json', 'print the version as JSON')
    .addHelpText('after', '\nExample:\n  tidegate model publish ./ocr-line')
    .action(async (path: string, options: PublishOptions) => {
      const client = await context.client();
      const pack = await openForPublish(path);
      const allowUnknownLicence = options.allowUnknownLicence === true;
      const started = await publish(client, pack, { allowUnknownLicence }, context);
      const version = options.wait ? await follow(client, started, context) : started;
      context.stdout.write(options.json === true ? jsonText(version) : versionText(version));
      if (version.state === 'refused') throw new CliError(`${nameOf(version)} was refused: ${version.detail ?? ''}`);
    });
}

function listCommand(context: CliContext): Command {
  return new Command('list')
    .description('all models')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  tidegate model list')
    .action(async (options: { json?: true }) => {
      const models = await (await context.client()).list('/api/v1/models?limit=500', pageOf(modelSchema));
      const rows = models.map((model) => [model.name, model.latestVersion ?? '-', model.createdAt, model.description]);
      const head = ['MODEL', 'LATEST', 'CREATED', 'DESCRIPTION'];
      context.stdout.write(options.json === true ? jsonText(models) : tableText(head, rows));
    });
}

function showCommand(context: CliContext): Command {
  return new Command('show')
    .description('a model’s versions, or one version with its variants')
    .argument('<MODEL[@VERSION]>', 'VERSION is a number, a label, the beginning of a digest, or `latest`')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  tidegate model show ocr-line@2')
    .action(async (spec: string, options: { json?: true }) => {
      const client = await context.client();
      const { model, version } = splitSpec(spec);
      if (version !== undefined) {
        const path = `/api/v1/models/${encodeURIComponent(model)}/versions/${encodeURIComponent(version)}`;
        const found = await client.get(path, versionSchema);
        context.stdout.write(options.json === true ? jsonText(found) : versionText(found));
        return;
      }
      await client.get(`/api/v1/models/${encodeURIComponent(model)}`, modelSchema);
      const path = `/api/v1/models/${encodeURIComponent(model)}/versions?limit=500`;
      const versions = await client.list(path, pageOf(versionSchema));
      const head = ['VERSION', 'LABEL', 'STATE', 'SIZE', 'DIGEST', 'CREATED', 'DETAIL'];
      const rows = versions.map((v) => [
        v.version,
        v.label ?? '-',
        v.state,
        mib(v.sizeBytes),
        shortDigest(v.digest),
        v.createdAt,
        v.evaluation?.passed === false ? evaluationText(v.evaluation) : v.detail,
      ]);
      context.stdout.write(options.json === true ? jsonText(versions) : tableText(head, rows));
    });
}

function lineageCommand(context: CliContext): Command {
  return new Command('lineage')
    .description('what a version was made from: job, parents, datasets, samples')
    .argument('<MODEL@VERSION>', 'VERSION is a number, a label, or the beginning of a digest, a variant’s too')
    .option('--json', 'print nodes and edges')
    .addHelpText('after', '\nExample:\n  tidegate model lineage digits@2')
    .action(async (spec: string, options: { json?: true }) => {
      const { model, version } = splitSpec(spec);
      if (version === undefined) throw wrongUsage(`${spec}: say which version: ${spec}@2`);
      const path = `/api/v1/models/${encodeURIComponent(model)}/versions/${encodeURIComponent(version)}/lineage`;
      const lineage = await (await context.client()).get(path, lineageSchema);
      context.stdout.write(options.json === true ? jsonText(lineage) : lineageText(lineage));
    });
}

function initCommand(context: CliContext): Command {
  return new Command('init')
    .description('write a first model.yaml beside a bare .onnx file')
    .argument('<FILE>', 'an .onnx file')
    .option('--name <NAME>', 'name of the model; default: from the file’s name')
    .option('--force', 'replace a model.yaml that is there')
    .addHelpText('after', '\nExample:\n  tidegate model init ./my-model/model.onnx --name my-model')
    .action(async (file: string, options: { name?: string; force?: true }) => {
      const target = join(dirname(file), 'model.yaml');
      const text = await firstYaml(file, options.name);
      try {
        await fs.writeFile(target, text, { flag: options.force === true ? 'w' : 'wx' });
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause;
        throw new CliError(`${target} exists; --force replaces it`, { cause });
      }
      context.stdout.write(`wrote ${target}\n`);
    });
}

async function firstYaml(file: string, name: string | undefined): Promise<string> {
  try {
    return initModelYaml(name ?? modelNameFrom(basename(file)), basename(file), await inspectGraphFile(file));
  } catch (cause) {
    if (cause instanceof PackageError) throw new CliError(cause.message, { cause });
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') throw wrongUsage(`${file} does not exist`);
    throw cause;
  }
}

/** `ocr-line@2` -> model and version. */
export function splitSpec(spec: string): { readonly model: string; readonly version: string | undefined } {
  const at = spec.indexOf('@');
  if (at < 0) return { model: spec, version: undefined };
  const [model, version] = [spec.slice(0, at), spec.slice(at + 1)];
  if (model === '' || version === '') throw wrongUsage(`${JSON.stringify(spec)} is not MODEL@VERSION`);
  return { model, version };
}

function nameOf({ model, version }: Version): string {
  return `${model}@${version}`;
}

function versionText(version: Version): string {
  const label = version.label === undefined ? '' : ` (${version.label})`;
  const lines = [
    `${nameOf(version)}${label}  ${version.state}  ${version.digest}`,
    `licence ${version.licence}, ${mib(version.sizeBytes)}, created ${version.createdAt}`,
    ...(version.detail === undefined ? [] : [version.detail]),
    ...(version.evaluation === undefined ? [] : [evaluationText(version.evaluation)]),
  ];
  return `${lines.join('\n')}\n${version.variants.length === 0 ? '' : `\n${variantsText(version.variants)}`}`;
}

function evaluationText({ passed, reason }: NonNullable<Version['evaluation']>): string {
  return passed ? `passed its evaluation: ${reason}` : `may not roll out: ${reason}`;
}

/** One table for each class of machines that was measured. */
function variantsText(variants: readonly VariantReport[]): string {
  const classes = [...new Set(variants.map(({ deviceClass }) => deviceClass))];
  const tables = classes.map((deviceClass) => {
    const rows = variants.filter((variant) => variant.deviceClass === deviceClass).map(variantRow);
    const head = ['VARIANT', 'OUTCOME', 'SIZE', 'LOAD', 'P50', 'P99', 'SCORE', 'REASON'];
    return `measured on ${deviceClass}\n${tableText(head, rows)}`;
  });
  return tables.join('\n');
}

function variantRow(variant: VariantReport): string[] {
  const ms = (value: number | undefined): string => (value === undefined ? '-' : `${value.toFixed(1)} ms`);
  return [
    variant.variant,
    variant.outcome,
    variant.sizeBytes === undefined ? '-' : mib(variant.sizeBytes),
    ms(variant.loadMs),
    ms(variant.latencyP50Ms),
    ms(variant.latencyP99Ms),
    variant.score === undefined ? '-' : variant.score.toFixed(4),
    variant.reason,
  ];
}

function mib(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(2)} MiB`;
}

function shortDigest(digest: string): string {
  return digest.slice('sha256:'.length, 'sha256:'.length + 12);
}
