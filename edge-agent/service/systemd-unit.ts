// The systemd unit under which an agent runs as a service. Pure. It may write its own state and nothing else, gains no
// privileges, and is started again whatever ends it. Not set, with the reason: MemoryDenyWriteExecute (V8 compiles at run
// time), WatchdogSec (the agent sends no heartbeat to systemd), PrivateDevices where a provider needs the GPU.
import { dirname } from 'node:path';

export interface UnitOptions {
  /** Absolute path of node, and of the agent's script. */
  readonly node: string;
  readonly script: string;
  /** Arguments after `run`; no secrets, which belong into the environment file. */
  readonly args: readonly string[];
  readonly dataDir: string;
  /** A user that exists; undefined = systemd makes one for as long as the service runs (DynamicUser). */
  readonly user: string | undefined;
  readonly memoryMaxBytes: number | undefined;
  readonly drainTimeoutMs: number;
  readonly needsGpu: boolean;
  /** Of the ports that it listens on, the smallest. */
  readonly lowestPort: number;
  readonly unixSocket: string | undefined;
}

export class UnitError extends Error {
  override readonly name = 'UnitError';
}

export const UNIT_NAME = 'tidegate-agent.service';
export const ENVIRONMENT_FILE = '/etc/tidegate/agent.env';
/** systemd reserves a directory of this name for the service, and gives it to the service's user. */
const STATE_FOLDER = /^\/var\/lib\/([A-Za-z0-9_.-]+)\/?$/;
const STOP_GRACE_MS = 10_000;
const FIRST_FREE_PORT = 1024;
const HOMES = /^\/(?:home|root|run\/user)\//;

/** Throws UnitError where the options exclude each other. */
export function systemdUnit(options: UnitOptions): string {
  const { node, script, args, drainTimeoutMs } = options;
  const command = [node, script, 'run', ...args].map(quoted).join(' ');
  return [
    '[Unit]',
    'Description=Tidegate edge agent',
    'Wants=network-online.target',
    'After=network-online.target time-sync.target',
    'StartLimitIntervalSec=0', // a device in the field is not given up
    '',
    '[Service]',
    'Type=exec',
    `ExecStart=${command}`,
    `EnvironmentFile=-${ENVIRONMENT_FILE}`,
    'Restart=always',
    'RestartSec=2',
    'KillMode=mixed', // SIGTERM to the agent alone: its executors finish what was accepted
    `TimeoutStopSec=${Math.ceil((drainTimeoutMs + STOP_GRACE_MS) / 1000)}`,
    ...ownership(options),
    ...limits(options),
    ...hardening(options),
    '',
    '[Install]',
    'WantedBy=multi-user.target',
    '',
  ].join('\n');
}

/** Who it runs as, and the only places where it may write. */
function ownership({ user, dataDir, unixSocket }: UnitOptions): string[] {
  const state = STATE_FOLDER.exec(dataDir)?.[1];
  if (user === undefined && state === undefined) {
    throw new UnitError(
      `--data-dir ${dataDir}: a service without --service-user can own a folder directly under /var/lib only`,
    );
  }
  const socket = unixSocket === undefined ? undefined : dirname(unixSocket);
  return [
    ...(user === undefined ? ['DynamicUser=yes'] : [`User=${user}`]),
    ...(state === undefined
      ? [`ReadWritePaths=${quotedPath(dataDir)}`]
      : [`StateDirectory=${state}`, 'StateDirectoryMode=0700']),
    'RuntimeDirectory=tidegate', // for --unix-socket /run/tidegate/agent.sock
    ...(socket === undefined || socket === '/run/tidegate' ? [] : [`ReadWritePaths=${quotedPath(`-${socket}`)}`]),
    'UMask=0077',
  ];
}

function limits({ memoryMaxBytes }: UnitOptions): string[] {
  return [
    ...(memoryMaxBytes === undefined ? [] : [`MemoryMax=${memoryMaxBytes}`]),
    'OOMPolicy=continue', // an executor that the kernel ends is replaced; the agent goes on
    'LimitNOFILE=65536',
  ];
}

function hardening({ node, script, needsGpu, lowestPort }: UnitOptions): string[] {
  const mayBind = lowestPort > 0 && lowestPort < FIRST_FREE_PORT;
  const capability = mayBind ? 'CAP_NET_BIND_SERVICE' : '';
  return [
    'NoNewPrivileges=yes',
    'ProtectSystem=strict',
    `ProtectHome=${[node, script].some((path) => HOMES.test(path)) ? 'read-only' : 'yes'}`,
    'PrivateTmp=yes',
    ...(needsGpu ? [] : ['PrivateDevices=yes']),
    'ProtectKernelTunables=yes',
    'ProtectKernelModules=yes',
    'ProtectKernelLogs=yes',
    'ProtectControlGroups=yes',
    'ProtectClock=yes',
    'ProtectHostname=yes',
    'RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK',
    'RestrictNamespaces=yes',
    'RestrictSUIDSGID=yes',
    'RestrictRealtime=yes',
    'LockPersonality=yes',
    'SystemCallArchitectures=native',
    'SystemCallFilter=@system-service',
    'SystemCallErrorNumber=EPERM',
    `CapabilityBoundingSet=${capability}`,
    ...(mayBind ? [`AmbientCapabilities=${capability}`] : []),
  ];
}

/** A word of a command line: systemd.service(5), "Command lines". */
function quoted(word: string): string {
  const escaped = withoutSpecifiers(word).replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('$', '$$$$');
  return /^[A-Za-z0-9_./:=,@%+-]+$/.test(word) ? escaped : `"${escaped}"`;
}

/** One of a list that spaces part; no shell variables there. */
function quotedPath(path: string): string {
  const escaped = withoutSpecifiers(path).replaceAll('\\', '\\\\').replaceAll('"', '\\"');
  return /[\s"'\\]/.test(path) ? `"${escaped}"` : escaped;
}

/** `%` begins a specifier everywhere in a unit. Throws UnitError for what no line can hold. */
function withoutSpecifiers(text: string): string {
  if (/[\n\r\0]/.test(text)) throw new UnitError(`${JSON.stringify(text)} can't stand in a unit: it has a line break`);
  return text.replaceAll('%', '%%');
}
