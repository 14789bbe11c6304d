// A picture with what a model found in it drawn over it, and the same as a list beside: who can't see the drawing reads the list, and each
// shows where the other's entry is. Numbers tie both together; the text and confidence of the one that is looked at stand on the picture.
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { Find } from './finds.js';

interface Size {
  readonly width: number;
  readonly height: number;
}

/** Under it, the list marks a confidence. */
const LOW = 0.8;

export function PictureWithFinds({ picture, finds }: { picture: string; finds: readonly Find[] }): JSX.Element {
  const [size, setSize] = useState<Size>();
  const [looked, look] = useState<number>();
  return (
    <div class="finds">
      <figure class="boxed">
        <div>
          <img
            src={picture}
            alt="the picture that was asked about, with what was found in it"
            onLoad={({ currentTarget: { naturalWidth, naturalHeight } }) =>
              setSize({ width: naturalWidth, height: naturalHeight })
            }
          />
          {size !== undefined && <Drawing size={size} finds={finds} looked={looked} look={look} />}
        </div>
      </figure>
      {finds.length === 0 ? (
        <p class="notice">nothing was found in this picture</p>
      ) : (
        <ol class="found" aria-label="found in the picture" onMouseLeave={() => look(undefined)}>
          {finds.map((find, i) => (
            <li key={i}>
              <button
                type="button"
                class={i === looked ? 'chosen' : ''}
                aria-pressed={i === looked}
                onMouseEnter={() => look(i)}
                onFocus={() => look(i)}
                onClick={() => look(i)}
              >
                <span class="number">{i + 1}</span>
                <span class="what">{find.text ?? 'box'}</span>
                <span class={`sure ${(find.confidence ?? 1) < LOW ? 'low' : ''}`}>{find.confidence?.toFixed(2)}</span>
              </button>
            </li>
          ))}
        </ol>
      )}
    </div>
  );
}

interface DrawingProps {
  readonly size: Size;
  readonly finds: readonly Find[];
  readonly looked: number | undefined;
  readonly look: (index: number | undefined) => void;
}

/** The list says all of it, so it is hidden from who doesn't see it. */
function Drawing({ size: { width, height }, finds, looked, look }: DrawingProps): JSX.Element {
  return (
    <div aria-hidden="true" onMouseLeave={() => look(undefined)}>
      <svg viewBox={`0 0 ${width} ${height}`}>
        {finds.map(({ corners }, i) => {
          const points = corners.map((corner) => corner.join(',')).join(' ');
          return (
            <g key={i} class={i === looked ? 'chosen' : ''} onMouseEnter={() => look(i)}>
              <polygon class="under" points={points} />
              <polygon points={points} />
            </g>
          );
        })}
      </svg>
      {finds.map(({ corners, text, confidence }, i) => {
        const left = Math.min(...corners.map(([x]) => x)) / width;
        const top = Math.min(...corners.map(([, y]) => y)) / height;
        const says = [text, confidence?.toFixed(2)].filter((part) => part !== undefined).join(' · ');
        const chosen = i === looked;
        return (
          <span
            key={i}
            class={`tag ${chosen ? 'chosen' : ''} ${left > 0.6 ? 'right' : ''}`}
            style={{ left: `${100 * left}%`, top: `${100 * top}%` }}
          >
            {chosen && says !== '' ? says : i + 1}
          </span>
        );
      })}
    </div>
  );
}
