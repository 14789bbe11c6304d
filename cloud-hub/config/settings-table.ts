// The one table of the hub's settings (`tidegate-hub serve`). docs/hub-settings.md is made from it.
import { homedir } from 'node:os';
import { join } from 'node:path';
import {
  anyText,
  bytesText,
  portOrOff,
  setting,
  threadsText,
  wholeText,
  type SettingsOf,
  type SettingsTable,
} from '@tidegate/shared/system/settings.js';
import { SERVER_SETTINGS } from '@tidegate/shared/system/server-settings.js';
import { z } from 'zod';

const PORT = '0 to 65535; 0 takes a free one';

const httpUrlText = z.url({ protocol: /^https?$/ });

export const HUB_SETTINGS = {
  dataDir: setting({
    schema: anyText,
    fallback: join(homedir(), '.tidegate', 'hub'),
    placeholder: 'DIR',
    allowed: 'a folder',
    description: 'Where the hub keeps its database, keys and models; made by `tidegate-hub init`.',
  }),
  host: setting({
    schema: anyText,
    fallback: '127.0.0.1',
    placeholder: 'HOST',
    allowed: 'a host name or address',
    description: 'Address that all ports listen on.',
  }),
  publicHost: setting({
    schema: anyText,
    fallback: undefined,
    placeholder: 'HOST',
    allowed: 'a host name or address that devices reach the hub by',
    description: 'Name of the hub in its device certificate and in what devices are told; default: --host.',
  }),
  httpPort: setting({
    schema: wholeText(0, 65_535),
    fallback: '9000',
    placeholder: 'PORT',
    allowed: PORT,
    description: 'Port of the console, the admin API and `/v2`.',
  }),
  grpcPort: setting({
    schema: portOrOff,
    fallback: '9001',
    placeholder: 'PORT',
    allowed: '0 to 65535; 0 takes a free one; off',
    description: 'Port of the Open Inference Protocol over gRPC, with the same tokens as `/v2`.',
  }),
  devicePort: setting({
    schema: wholeText(0, 65_535),
    fallback: '9443',
    placeholder: 'PORT',
    allowed: PORT,
    description: 'Port that devices call, with mutual TLS.',
  }),
  mqttPort: setting({
    schema: wholeText(0, 65_535),
    fallback: '9883',
    placeholder: 'PORT',
    allowed: PORT,
    description: 'Port of the embedded MQTT broker, with mutual TLS.',
  }),
  maxPackageSize: setting({
    schema: bytesText,
    fallback: '16GiB',
    placeholder: 'BYTES',
    allowed: 'a size such as 2GiB or a number of bytes',
    description: 'Largest package that can be published.',
  }),
  loadedModels: setting({
    schema: wholeText(1, 1000),
    fallback: '8',
    placeholder: 'N',
    allowed: '1 to 1000',
    description: 'Model versions in memory at once, beside what --memory-budget allows; those worth least make room.',
  }),
  engineCache: setting({
    schema: bytesText,
    fallback: '4GiB',
    placeholder: 'BYTES',
    allowed: 'a size such as 2GiB; 0 keeps nothing',
    description:
      'Disk space, in --data-dir, for graphs as the engine has made them for this machine: they load again in milliseconds and share one copy of their weights.',
  }),
  threads: setting({
    schema: threadsText,
    fallback: '1',
    placeholder: 'N',
    allowed: '1 to 1024; auto',
    description:
      'Threads of one run on the hub. `auto` measures each version when it is first loaded, and takes more where they cost little throughput.',
  }),
  cacheSize: setting({
    schema: bytesText,
    fallback: '64MiB',
    placeholder: 'BYTES',
    allowed: 'a size such as 512MiB; 0 turns the cache off',
    description: 'Memory that answers of the hub itself may take, to be given again to equal questions.',
  }),
  sharedCache: setting({
    schema: bytesText,
    fallback: '64MiB',
    placeholder: 'BYTES',
    allowed: 'a size such as 64MiB; 0 shares no answers',
    description: 'Memory for answers that devices share, of models whose `privacy.answers` allows it.',
  }),
  sharedCacheWitnesses: setting({
    schema: wholeText(1, 16),
    fallback: '2',
    placeholder: 'N',
    allowed: '1 to 16; 1 trusts each device alone',
    description: 'Devices that must have computed the very same answer before others get it.',
  }),
  trainingJobs: setting({
    schema: wholeText(0, 64),
    fallback: '1',
    placeholder: 'N',
    allowed: '0 to 64; 0 keeps jobs queued',
    description: 'Training jobs that run at once, each in a process of its own.',
  }),
  trainingMemory: setting({
    schema: bytesText,
    fallback: '2GiB',
    placeholder: 'BYTES',
    allowed: 'a size such as 2GiB or a number of bytes',
    description: 'Resident memory at which a training job that states no limit is ended.',
  }),
  openlineageUrl: setting({
    schema: httpUrlText,
    fallback: undefined,
    placeholder: 'URL',
    allowed: 'an http or https address such as http://marquez:5000/api/v1/lineage',
    description: 'Where training jobs are told as OpenLineage events; unset: nowhere.',
  }),
  ...SERVER_SETTINGS,
} satisfies SettingsTable;

export type HubSettings = SettingsOf<typeof HUB_SETTINGS>;

/** TIDEGATE_ variables that are the operator's command line's or name the settings file. */
export const FOREIGN_VARIABLES = ['TIDEGATE_CONFIG', 'TIDEGATE_CONFIG_DIR', 'TIDEGATE_HUB', 'TIDEGATE_TOKEN'] as const;
