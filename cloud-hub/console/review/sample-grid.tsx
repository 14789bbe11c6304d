// The queue as a list to choose from: each sample small, with what it is called and in which state it stands. One tab stop; the arrow
// keys are the page's (review-page.tsx).
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { shown, type Queue, type QueueItem } from './queue.js';
import type { Pictures } from './pictures.js';
import { SamplePicture } from './sample-picture.js';

export function SampleGrid(props: { queue: Queue; pictures: Pictures; onSelect: (at: number) => void }): JSX.Element {
  const { queue, pictures, onSelect } = props;
  const list = useRef<HTMLUListElement>(null);
  useEffect(() => {
    list.current?.children[queue.at]?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }, [queue.at]);
  return (
    <ul
      class="samples"
      role="listbox"
      aria-label="samples"
      aria-activedescendant={`sample-${queue.at}`}
      tabIndex={0}
      ref={list}
    >
      {queue.items.map((item, at) => (
        <li
          key={item.server.id}
          id={`sample-${at}`}
          role="option"
          aria-selected={at === queue.at}
          aria-label={spoken(item)}
          class={`sample ${shown(item).state} ${item.error === undefined ? '' : 'failed'}`}
          onClick={() => onSelect(at)}
        >
          <SamplePicture sample={item.server} pictures={pictures} alt="" />
          <span class="caption">{caption(item)}</span>
        </li>
      ))}
    </ul>
  );
}

/** How many samples stand beside one another: what an arrow up or down moves by. */
export function columnsOf(list: Element | null): number {
  const tops = [...(list?.children ?? [])].map((child) => (child as HTMLElement).offsetTop);
  return Math.max(1, tops.filter((top) => top === tops[0]).length);
}

function caption(item: QueueItem): string {
  const { state, label, answer, reason } = shown(item);
  if (state === 'labelled') return `✓ ${label ?? ''}`;
  if (state === 'rejected') return '✕ rejected';
  return answer === undefined ? reason : `${answer}?`;
}

function spoken(item: QueueItem): string {
  const { state, label, answer } = shown(item);
  const what = state === 'labelled' ? `labelled ${label ?? ''}` : state;
  const said = answer === undefined ? '' : `, the device said ${answer}`;
  return `${what}${said}${item.error === undefined ? '' : ', its last change failed'}`;
}
