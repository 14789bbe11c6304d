// `tidegate dataset`: what samples are frozen into, for training and for judging it.
import { pageOf } from '@tidegate/shared/wire/admin-api.js';
import {
  datasetDiffSchema,
  datasetReadSchema,
  datasetVersionSchema,
  type DatasetDiff,
  type DatasetRead,
  type DatasetVersion,
} from '@tidegate/shared/wire/data-api.js';
import { hexOf } from '@tidegate/shared/wire/digest.js';
import { Command, Option } from 'commander';
import { wrongUsage } from './cli-error.js';
import type { CliContext } from './context.js';
import { exportDataset } from './dataset-export.js';
import { FREEZING_MS, importDataset } from './dataset-import.js';
import { share } from './durations.js';
import type { LabelFrom } from './import-list.js';
import { jsonText, tableText } from './output.js';

const versionsSchema = pageOf(datasetVersionSchema);

export function datasetCommand(context: CliContext): Command {
  return new Command('dataset')
    .description('frozen, labelled samples to train on and to judge by')
    .addCommand(createCommand(context))
    .addCommand(importCommand(context))
    .addCommand(listCommand(context))
    .addCommand(showCommand(context))
    .addCommand(diffCommand(context))
    .addCommand(exportCommand(context))
    .addCommand(deleteCommand(context))
    .addCommand(statsCommand(context));
}

interface Json {
  readonly json?: true;
}

interface CreateOptions extends Json {
  readonly from: string;
  readonly model?: string;
  readonly heldOut: string;
}

function createCommand(context: CliContext): Command {
  return new Command('create')
    .description('freeze the labelled samples that a query picks; the same again is the same version')
    .argument('<NAME>', 'name of the dataset; a new version of it where it exists')
    .requiredOption('--from <QUERY>', 'which samples: conditions with and, or, brackets')
    .option('--model <MODEL>', 'only samples of this model')
    .option('--held-out <SHARE>', 'share that no training sees, 0% to 100%', '20%')
    .option('--json', 'print the version as JSON')
    .addHelpText(
      'after',
      "\nExamples:\n  tidegate dataset create hard --from 'model=digits and confidence<0.8'\n" +
        "  tidegate dataset create night --from 'model=digits and group=shelf and captured>7d' --held-out 0.3",
    )
    .action(async (name: string, { from, model, heldOut, json }: CreateOptions) => {
      const client = await context.client();
      const request = { name, from, heldOut: share(heldOut, '--held-out'), ...(model === undefined ? {} : { model }) };
      const version = await client.post('/api/v1/datasets', request, datasetVersionSchema, FREEZING_MS);
      context.stdout.write(json === true ? jsonText(version) : versionText(version));
    });
}

interface ImportOptions extends Json {
  readonly model: string;
  readonly name: string;
  readonly heldOut?: string;
  readonly labelFrom?: 'folder' | 'csv';
  readonly resize?: true;
}

function importCommand(context: CliContext): Command {
  return new Command('import')
    .description('send pictures or arrays with their labels, and freeze exactly these; the same again changes nothing')
    .argument('<DIR|CSV>', 'a folder with a folder per class, or a CSV with the columns path,label[,split]')
    .requiredOption('--model <MODEL>', 'whose inputs the files are')
    .requiredOption('--name <NAME>', 'name of the dataset; a new version of it where it exists')
    .option('--held-out <SHARE>', 'share that no training sees, 0% to 100% (default: 20%, or as the CSV says)')
    .addOption(
      new Option('--label-from <WHERE>', 'where a folder’s labels are (default: labels.csv, else folders)').choices([
        'folder',
        'csv',
      ]),
    )
    .option('--resize', 'scale pictures of another size than the model takes')
    .option('--json', 'print the version as JSON')
    .addHelpText(
      'after',
      '\nPNG, JPEG and WebP become the model’s input: as they are for a BYTES input, as levels 0..1 for FP32, 0..255 for UINT8.\n' +
        'Other inputs are .npy files.\n\nExamples:\n  tidegate dataset import ./digits --model digits --name clean\n' +
        '  tidegate dataset import ./test/labels.csv --model digits --name hard-test --held-out 100%',
    )
    .action(async (path: string, options: ImportOptions) => {
      const { name, model, json } = options;
      const labelFrom: LabelFrom = options.labelFrom;
      const heldOut = options.heldOut === undefined ? undefined : share(options.heldOut, '--held-out');
      const request = { path, name, model, heldOut, labelFrom, mayResize: options.resize === true };
      const { version, sent, repeated } = await importDataset(await context.client(), request, context);
      const again = repeated === 0 ? '' : `; ${repeated} files repeat others`;
      const all = countText(version.count);
      const what = sent === version.count ? all : `${sent} of ${all}, the hub had the others`;
      context.stderr.write(`sent ${what}${again}\n`);
      context.stdout.write(json === true ? jsonText(version) : versionText(version));
    });
}

function listCommand(context: CliContext): Command {
  return new Command('list')
    .description('all datasets, each with its newest version')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  tidegate dataset list')
    .action(async ({ json }: Json) => {
      const datasets = await (await context.client()).list('/api/v1/datasets?limit=500', versionsSchema);
      context.stdout.write(json === true ? jsonText(datasets) : versionsTable(datasets));
    });
}

function showCommand(context: CliContext): Command {
  return new Command('show')
    .description('a dataset’s versions, or one version with its labels')
    .argument('<NAME[@VERSION]>', 'VERSION is a number or `latest`')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  tidegate dataset show hard@1')
    .action(async (spec: string, { json }: Json) => {
      const client = await context.client();
      const { name, version } = splitDataset(spec);
      if (version !== undefined) {
        const found = await client.get(versionPath(name, version), datasetVersionSchema);
        context.stdout.write(json === true ? jsonText(found) : versionText(found));
        return;
      }
      const versions = await client.list(
        `/api/v1/datasets/${encodeURIComponent(name)}/versions?limit=500`,
        versionsSchema,
      );
      context.stdout.write(json === true ? jsonText(versions) : versionsTable(versions));
    });
}

function diffCommand(context: CliContext): Command {
  return new Command('diff')
    .description('which samples were added, removed, relabelled between two versions')
    .argument('<NAME@FROM>', 'the earlier version')
    .argument('[NAME@TO]', 'the later version; the newest where it is left out')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  tidegate dataset diff hard@1 hard@2')
    .action(async (from: string, to: string | undefined, { json }: Json) => {
      const client = await context.client();
      const before = splitDataset(from);
      const after = to === undefined ? { name: before.name, version: 'latest' } : splitDataset(to);
      if (before.version === undefined) throw wrongUsage(`say which version: ${from}@1`);
      if (after.name !== before.name) throw wrongUsage(`${from} and ${to} are two datasets; a diff is of one`);
      const query = new URLSearchParams({ from: before.version, to: after.version ?? 'latest' });
      const path = `/api/v1/datasets/${encodeURIComponent(before.name)}/diff?${query.toString()}`;
      const diff = await client.get(path, datasetDiffSchema);
      context.stdout.write(json === true ? jsonText(diff) : diffText(diff));
    });
}

function deleteCommand(context: CliContext): Command {
  return new Command('delete')
    .description('delete versions for good, with their files; not while a training job uses them')
    .argument('<NAME@VERSION...>', 'VERSION is a number, which is never given again')
    .addHelpText('after', '\nExample:\n  tidegate dataset delete hard@1 hard@2')
    .action(async (specs: string[]) => {
      const versions = specs.map((spec) => {
        const { name, version = 'latest' } = splitDataset(spec);
        if (version === 'latest') throw wrongUsage(`say which version: ${name}@1`);
        return { name, version };
      });
      const client = await context.client();
      for (const { name, version } of versions) {
        await client.delete(versionPath(name, version));
        context.stdout.write(`${name}@${version} is deleted\n`);
      }
    });
}

function exportCommand(context: CliContext): Command {
  return new Command('export')
    .description('write a version as a folder: files, labels.csv, manifest.json; again, it goes on where it was')
    .argument('<NAME@VERSION>', 'VERSION is a number or `latest`')
    .argument('<DIR>', 'a new or empty folder, or one of this version')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  tidegate dataset export hard@1 ./hard')
    .action(async (spec: string, folder: string, { json }: Json) => {
      const client = await context.client();
      const { name, version = 'latest' } = splitDataset(spec);
      const found = await client.get(versionPath(name, version), datasetVersionSchema);
      const exported = await exportDataset(client, found, folder, context);
      const { samples, written } = exported;
      const text = `${nameOf(found)}: ${countText(samples)} in ${folder}, ${written} written now\n`;
      context.stdout.write(json === true ? jsonText({ ...exported, digest: found.digest }) : text);
    });
}

interface StatsOptions extends Json {
  readonly loss: 'cross-entropy' | 'mse';
  readonly graph?: string;
}

function statsCommand(context: CliContext): Command {
  return new Command('stats')
    .description('read a version once on the hub, as training would, and say how fast that was')
    .argument('<NAME[@VERSION]>', 'VERSION is a number or `latest`')
    .addOption(
      new Option('--loss <LOSS>', 'how labels are read: classes, or numbers')
        .choices(['cross-entropy', 'mse'])
        .default('cross-entropy'),
    )
    .option('--graph <PATH>', 'which graph of the package, where it has several')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  tidegate dataset stats hard@1')
    .action(async (spec: string, { loss, graph, json }: StatsOptions) => {
      const { name, version = 'latest' } = splitDataset(spec);
      const query = new URLSearchParams({ loss, ...(graph === undefined ? {} : { graph }) });
      const path = `${versionPath(name, version)}/read?${query.toString()}`;
      const read = await (await context.client()).post(path, undefined, datasetReadSchema, FREEZING_MS);
      context.stdout.write(json === true ? jsonText(read) : readText(read));
    });
}

/** `hard@2` -> name and version. */
function splitDataset(spec: string): { readonly name: string; readonly version: string | undefined } {
  const match = /^([^@]+)(?:@([^@]+))?$/.exec(spec);
  if (match?.[1] === undefined) throw wrongUsage(`${JSON.stringify(spec)} is not NAME or NAME@VERSION of a dataset`);
  return { name: match[1], version: match[2] };
}

function versionPath(name: string, version: string): string {
  return `/api/v1/datasets/${encodeURIComponent(name)}/versions/${encodeURIComponent(version)}`;
}

function nameOf({ name, version }: DatasetVersion): string {
  return `${name}@${version}`;
}

function versionText(version: DatasetVersion): string {
  const { counts, unlabelled, contradicted = 0, heldOut, labels } = version;
  const left = [
    ...(unlabelled === 0 ? [] : [`${unlabelled} without a label were left out`]),
    ...(contradicted === 0 ? [] : [`${contradicted} that later samples of equal inputs contradict were left out`]),
  ];
  const lines = [
    `${nameOf(version)}  ${version.model}  ${version.digest}`,
    `${countText(version.count)}: ${counts.train} train, ${counts['held-out']} held out (${percent(heldOut)}), ${sizeText(version.sizeBytes)}`,
    `from ${version.from}, created ${version.createdAt}`,
    ...left,
  ];
  return `${lines.join('\n')}\n\n${tableText(['LABEL', 'SAMPLES'], Object.entries(labels))}`;
}

function versionsTable(versions: readonly DatasetVersion[]): string {
  const head = ['DATASET', 'MODEL', 'SAMPLES', 'TRAIN', 'HELD OUT', 'SIZE', 'DIGEST', 'CREATED', 'FROM'];
  const rows = versions.map((one) => [
    nameOf(one),
    one.model,
    one.count,
    one.counts.train,
    one.counts['held-out'],
    sizeText(one.sizeBytes),
    hexOf(one.digest).slice(0, 12),
    one.createdAt,
    one.from,
  ]);
  return tableText(head, rows);
}

function diffText({ from, to, added, removed, relabelled }: DatasetDiff): string {
  const counts = `${added.length} added, ${removed.length} removed, ${relabelled.length} relabelled`;
  const rows = [
    ...added.map((id) => ['added', id, '']),
    ...removed.map((id) => ['removed', id, '']),
    ...relabelled.map(({ id, before, after }) => ['relabelled', id, `${before} -> ${after}`]),
  ];
  const table = rows.length === 0 ? '' : `\n${tableText(['CHANGE', 'SAMPLE', 'LABEL'], rows)}`;
  return `${from} -> ${to}: ${counts}\n${table}`;
}

function readText(read: DatasetRead): string {
  const { dataset, samples, bytes, elapsedMs, samplesPerSecond, megabytesPerSecond, waitShare } = read;
  return (
    `${dataset}, prepared by ${read.package}: ${countText(samples)}, ${sizeText(bytes)} of tensors in ${(elapsedMs / 1000).toFixed(2)} s\n` +
    `${Math.round(samplesPerSecond)} samples/s, ${megabytesPerSecond.toFixed(1)} MB/s; ${percent(waitShare)} of the time was waiting for ` +
    `data, with nothing computed meanwhile\n`
  );
}

function percent(part: number): string {
  return `${Math.round(part * 1000) / 10}%`;
}

function countText(count: number): string {
  return count === 1 ? '1 sample' : `${count} samples`;
}

function sizeText(bytes: number): string {
  return bytes < 2 ** 20 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 2 ** 20).toFixed(2)} MiB`;
}
