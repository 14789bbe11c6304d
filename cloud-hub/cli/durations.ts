// `90s`, `30m`, `12h`, `7d`, or a number of seconds, as seconds; `10%` or `0.1` as a share.
import { wrongUsage } from './cli-error.js';

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

export function seconds(text: string, flag: string): number {
  const match = /^([0-9]+(?:\.[0-9]+)?)([smhd]?)$/.exec(text);
  if (match?.[1] === undefined)
    throw wrongUsage(`${flag}: ${JSON.stringify(text)} is no time; write e.g. 90s, 30m, 12h, 7d`);
  return Number(match[1]) * (UNITS[match[2] || 's'] ?? 1);
}

export function share(text: string, flag: string): number {
  const match = /^([0-9]+(?:\.[0-9]+)?)(%?)$/.exec(text.trim());
  const value = match?.[1] === undefined ? Number.NaN : Number(match[1]) / (match[2] === '%' ? 100 : 1);
  if (!(value >= 0 && value <= 1))
    throw wrongUsage(`${flag}: ${JSON.stringify(text)} is no share; write e.g. 10% or 0.1`);
  return value;
}

export function whole(text: string, flag: string): number {
  if (!/^[0-9]{1,12}$/.test(text)) throw wrongUsage(`${flag}: ${JSON.stringify(text)} is no whole number`);
  return Number(text);
}
