// The frame: sign in with a token, then the pages.
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { JSX } from 'preact';
import { DatasetsPage } from './datasets/datasets-page.js';
import { FleetPage } from './fleet-page.js';
import { messageOf } from './format.js';
import { HubClient } from './hub-client.js';
import { LineagePage } from './lineage/lineage-page.js';
import { Link } from './link.js';
import { useLiveState, type LiveState } from './live-state.js';
import { ModelsPage } from './models-page.js';
import { PlaygroundPage } from './playground/playground-page.js';
import { ReviewPage } from './review/review-page.js';
import { RolloutsPage } from './rollouts-page.js';
import { PAGES, routeOf, startOf, type Route } from './route.js';
import { storedToken, storeToken } from './session.js';
import { TrainingPage } from './training/training-page.js';

export function App(): JSX.Element {
  const [token, setToken] = useState(storedToken());
  const sign = (next: string | undefined): void => {
    storeToken(next);
    setToken(next);
  };
  return token === undefined ? <SignIn onToken={sign} /> : <Console token={token} onSignOut={() => sign(undefined)} />;
}

function SignIn({ onToken }: { onToken: (token: string) => void }): JSX.Element {
  const [token, setToken] = useState('');
  const [error, setError] = useState<string>();
  const submit = (event: Event): void => {
    event.preventDefault();
    new HubClient(token.trim()).models().then(
      () => onToken(token.trim()),
      (cause: unknown) => setError(messageOf(cause)),
    );
  };
  return (
    <main class="sign-in">
      <form onSubmit={submit}>
        <h1>
          <img src="/tide.svg" alt="" width="28" height="28" /> Tidegate
        </h1>
        <label>
          Access token
          <input
            type="password"
            autocomplete="off"
            value={token}
            onInput={(event) => setToken(event.currentTarget.value)}
            placeholder="the token that tidegate-hub init printed"
          />
        </label>
        <button type="submit" disabled={token.trim() === ''}>
          Sign in
        </button>
        {error !== undefined && <p class="error">{error}</p>}
      </form>
    </main>
  );
}

function here(): Route {
  return routeOf(location.pathname, location.search);
}

function Console({ token, onSignOut }: { token: string; onSignOut: () => void }): JSX.Element {
  const client = useMemo(() => new HubClient(token), [token]);
  const state = useLiveState(client);
  const [route, setRoute] = useState(here());
  useEffect(() => {
    const onPop = (): void => setRoute(here());
    addEventListener('popstate', onPop);
    return () => removeEventListener('popstate', onPop);
  }, []);
  return (
    <>
      <header>
        <span class="brand">
          <img src="/tide.svg" alt="" width="22" height="22" /> Tidegate
        </span>
        <nav aria-label="pages">
          {PAGES.map((name) => (
            <Link key={name} to={startOf(name)} current={name === route.page}>
              {name}
            </Link>
          ))}
        </nav>
        <span class={`live ${state.connected ? 'on' : 'off'}`}>{state.connected ? 'live' : 'reconnecting'}</span>
        <button class="quiet" onClick={onSignOut}>
          Sign out
        </button>
      </header>
      <main>
        {state.error !== undefined && <p class="error">{state.error}</p>}
        <Page route={route} state={state} client={client} />
      </main>
    </>
  );
}

function Page({ route, state, client }: { route: Route; state: LiveState; client: HubClient }): JSX.Element {
  switch (route.page) {
    case 'fleet':
      return <FleetPage state={state} />;
    case 'rollouts':
      return <RolloutsPage state={state} client={client} />;
    case 'models':
      return <ModelsPage state={state} />;
    case 'playground':
      return <PlaygroundPage client={client} />;
    case 'review':
      return <ReviewPage state={state} client={client} tab={route.tab} where={route.where} />;
    case 'datasets':
      return <DatasetsPage live={state} client={client} />;
    case 'training':
      return <TrainingPage state={state} client={client} job={route.job} dataset={route.dataset} />;
    case 'lineage':
      return <LineagePage client={client} model={route.model} version={route.version} />;
  }
}
