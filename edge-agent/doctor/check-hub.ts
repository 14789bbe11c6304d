// Is the hub there? One step after the other, so that the first that fails is the cause: name, TCP, TLS with the pinned CA and
// its validity, an HTTP answer and by how much its clock differs. The same dispatcher and judgement as the agent's own.
import type { X509Certificate } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { connect, isIP } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { Agent, request } from 'undici';
import type { Clock } from '@tidegate/shared/system/clock.js';
import { judgeHub } from '../identity/hub-certificate.js';
import { hubDispatcher, type HubTrust } from '../identity/hub-transport.js';
import { fail, fine, messageOf, warn, type Finding, type Verdict } from './finding.js';

const STEP_WITHIN_MS = 5000;
const EXPIRES_SOON_MS = 3 * 86_400_000;

export interface HubAddress {
  /** https://host:port, or http:// for `--hub` of `serve`. */
  readonly url: string;
  /** `mqtts://host:port`; absent where the hub is no fleet's. */
  readonly mqttUrl?: string;
  /** Absent for `--hub`: then Node's own roots judge. */
  readonly trust?: HubTrust;
}

export interface HubFindings {
  readonly findings: readonly Finding[];
  /** This device's clock less the hub's; undefined where the hub didn't answer. */
  readonly skewMs: number | undefined;
}

export async function checkHub(hub: HubAddress, clock: Pick<Clock, 'nowMs'>): Promise<HubFindings> {
  const findings: Finding[] = [];
  let skewMs: number | undefined;
  const url = new URL(hub.url);
  const steps: [string, string, () => Promise<Verdict>][] = [
    ['hub name', 'check the DNS server in /etc/resolv.conf, or name the hub by its address', () => resolveName(url)],
    ['hub port', 'check the route and the firewall on the way, and that the hub runs', () => reachPort(url)],
    [
      'hub certificate',
      'enrol again if the hub was made anew; else something on the way intercepts TLS',
      () => tls(hub),
    ],
    [
      'hub answer',
      'look at the log of the hub',
      async () => {
        const answer = await askHub(hub, clock);
        skewMs = answer.skewMs;
        return answer.verdict;
      },
    ],
  ];
  for (const [check, mend, act] of steps) {
    if (check === 'hub certificate' && url.protocol !== 'https:') continue;
    const verdict = await act().catch((error: unknown) => fail(messageOf(error), mend));
    findings.push({ check, ...verdict });
    if (verdict.level === 'fail') return { findings, skewMs };
  }
  if (hub.mqttUrl !== undefined) {
    const mend = 'open that port on the way: without it the device learns of changes minutes later, by HTTPS';
    const verdict = await reachPort(new URL(hub.mqttUrl)).catch((error: unknown) => warn(messageOf(error), mend));
    findings.push({ check: 'hub messages', ...verdict });
  }
  return { findings, skewMs };
}

async function resolveName({ hostname }: URL): Promise<Verdict> {
  const found = await within(lookup(bare(hostname), { all: true }), `${hostname}: no answer of DNS`);
  return fine(`${hostname} is ${found.map(({ address }) => address).join(', ')}`);
}

function reachPort(url: URL): Promise<Verdict> {
  const { host, port } = addressOf(url);
  const startMs = performance.now();
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, timeout: STEP_WITHIN_MS });
    const end = (settle: () => void): void => {
      socket.destroy();
      settle();
    };
    socket.once('connect', () => {
      const tookMs = (performance.now() - startMs).toFixed(0);
      end(() => resolve(fine(`${host}:${port} accepts connections, after ${tookMs} ms`)));
    });
    socket.once('timeout', () => end(() => reject(new Error(`${host}:${port} does not answer`))));
    socket.once('error', (error) => end(() => reject(error)));
  });
}

/** Nothing is sent. A fleet's hub is judged by its pinned CA, any other by the system's. */
async function tls({ url: text, trust }: HubAddress): Promise<Verdict> {
  const url = new URL(text);
  const { host, port } = addressOf(url);
  const servername = isIP(host) === 0 ? { servername: host } : {};
  const socket = connectTls({ host, port, ...servername, rejectUnauthorized: trust === undefined });
  try {
    const leaf = await within(certificateOf(socket), `${host}:${port} does not finish the TLS handshake`);
    if (trust !== undefined) {
      const time = { wallMs: trust.clock.nowMs(), floorMs: trust.floorMs() };
      const verdict = judgeHub({ leaf, chain: [] }, trust.ca, time);
      if (!verdict.ok) throw new Error(verdict.message);
    }
    const validToMs = Date.parse(leaf.validTo);
    const found = `${socket.getProtocol() ?? 'TLS'}, trusted, valid until ${new Date(validToMs).toISOString()}`;
    if (validToMs - Date.now() > EXPIRES_SOON_MS) return fine(found);
    return warn(found, 'renew the certificate of the hub (a running hub renews its own), or set this clock right');
  } finally {
    socket.destroy();
  }
}

/** Asked for once: Node 20 shows it only the first time. */
function certificateOf(socket: TLSSocket): Promise<X509Certificate> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the connection was closed during the TLS handshake')));
    socket.once('secureConnect', () => {
      const leaf = socket.getPeerX509Certificate();
      if (leaf === undefined) reject(new Error('the server shows no certificate'));
      else resolve(leaf);
    });
  });
}

async function askHub(
  { url, trust }: HubAddress,
  clock: Pick<Clock, 'nowMs'>,
): Promise<{ verdict: Verdict; skewMs: number | undefined }> {
  const dispatcher = trust === undefined ? new Agent() : hubDispatcher(trust);
  try {
    const { statusCode, headers, body } = await request(new URL('/v2/health/live', url).href, {
      dispatcher,
      signal: AbortSignal.timeout(STEP_WITHIN_MS),
    });
    const nowMs = clock.nowMs();
    await body.dump();
    const dateMs = Date.parse(String(headers['date']));
    const skewMs = Number.isNaN(dateMs) ? undefined : nowMs - dateMs;
    const found = `${url} answers HTTP ${statusCode}`;
    const verdict =
      statusCode >= 500 ? warn(found, 'look at the log of the hub, or of the proxy before it') : fine(found);
    return { verdict, skewMs };
  } finally {
    await dispatcher.destroy();
  }
}

function addressOf(url: URL): { host: string; port: number } {
  const usual = { 'https:': 443, 'http:': 80, 'mqtts:': 8883 }[url.protocol] ?? 0;
  return { host: bare(url.hostname), port: Number(url.port) || usual };
}

/** `[::1]` -> `::1`. */
function bare(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, '');
}

async function within<T>(promise: Promise<T>, late: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${late} within ${STEP_WITHIN_MS} ms`)), STEP_WITHIN_MS);
  });
  try {
    return await Promise.race([promise, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}
