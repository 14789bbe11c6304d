// One figure with what it counts.
import type { JSX } from 'preact';

export function Figure(props: {
  value: number | string;
  label: string;
  tone?: 'warn' | 'bad' | undefined;
}): JSX.Element {
  return (
    <div class={`figure ${props.tone ?? ''}`}>
      <b>{props.value}</b>
      <span>{props.label}</span>
    </div>
  );
}
