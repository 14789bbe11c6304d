// A sample's picture; small ones keep their pixels when they are drawn larger. Where the inputs are no picture, their names and shapes.
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { SampleView } from '@tidegate/shared/wire/data-api.js';
import { messageOf } from '../format.js';
import type { Picture, Pictures } from './pictures.js';

const SMALL_PIXELS = 128;

export function SamplePicture(props: { sample: SampleView; pictures: Pictures; alt: string }): JSX.Element {
  const { sample, pictures, alt } = props;
  const [picture, setPicture] = useState<Picture | { readonly error: string }>();
  const [small, setSmall] = useState(false);
  useEffect(() => {
    let gone = false;
    setPicture(undefined);
    pictures.of(sample.id).then(
      (known) => !gone && setPicture(known),
      (cause: unknown) => !gone && setPicture({ error: messageOf(cause) }),
    );
    return () => {
      gone = true;
    };
  }, [sample.id, pictures]);
  if (picture === undefined) return <span class="picture waiting" />;
  if (picture === 'none') {
    return (
      <span class="picture shapes">
        {sample.inputs.map(({ name, datatype, shape }) => (
          <small key={name} title={`${name} ${datatype}`}>
            {name}
            <br />
            {datatype} [{shape.join(', ')}]
          </small>
        ))}
      </span>
    );
  }
  if ('error' in picture) {
    return (
      <span class="picture shapes" title={picture.error}>
        <small>no picture came</small>
      </span>
    );
  }
  return (
    <img
      class={`picture ${small ? 'small' : ''}`}
      src={picture.url}
      alt={alt}
      onLoad={({ currentTarget }) => {
        setSmall(currentTarget.naturalWidth <= SMALL_PIXELS && currentTarget.naturalHeight <= SMALL_PIXELS);
      }}
    />
  );
}
