'use strict';

// The API as this page uses it: the key, requests, and what the server's journal tells of an action.

const KEY_NAME = 'wrenn-api-key';
// For answers that are there at once; actions have the server's own limits.
const LOOK_LIMIT_MS = 10000;

class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;  // 0: no answer came
  }
}

// sessionStorage ends with the tab, and no other tab sees it.
const key = {
  get: () => sessionStorage.getItem(KEY_NAME),
  set: (text) => sessionStorage.setItem(KEY_NAME, text),
  forget: () => sessionStorage.removeItem(KEY_NAME),
};

// What the server answers, as JSON; nothing for an empty answer. Throws ApiError.
async function request(method, path, {body, withKey = key.get(), limit} = {}) {
  const headers = {};
  if (withKey) headers['X-API-Key'] = withKey;
  if (body) headers['Content-Type'] = 'application/json';
  let response, text;
  try {
    response = await fetch(path, {
      method, headers, body: body && JSON.stringify(body),
      credentials: 'omit', redirect: 'error', signal: limit && AbortSignal.timeout(limit),
    });
    text = await response.text();
  } catch {
    throw new ApiError(0, method === 'GET' ? 'the server does not answer'
                                           : 'the server did not answer; it may have done it all the same');
  }
  let answer;
  try {
    answer = text && JSON.parse(text);
  } catch {
    throw new ApiError(response.status, `what answered (${response.status}) is not wrenn`);
  }
  if (!response.ok) {
    throw new ApiError(response.status, answer?.error?.message ?? `the server answered ${response.status}`);
  }
  return answer;
}

const get = (path, options) => request('GET', path, {limit: LOOK_LIMIT_MS, ...options});
const sandboxPath = (id, what = '') => `/v1/sandboxes/${encodeURIComponent(id)}${what}`;
const snapshotPath = (name) => `/v1/snapshots/${encodeURIComponent(name)}`;

// Refuses before it is sent what no header can carry.
function checkKey(text) {
  if (!/^[\x21-\x7e]+$/.test(text)) throw new ApiError(401, 'this is not an API key');
  return get('/v1/sandboxes', {withKey: text});
}

// The sandbox's journal after event `after`: the events that tell how long their phases took. Empty
// when it cannot be read: the sandbox may be gone, and that is no failure of what was done.
async function timedEvents(id, after = 0) {
  const events = await get(sandboxPath(id, '/events')).catch(() => []);
  return events.filter((event) => event.sequence > after && 'total_ms' in event.details);
}

async function lastEvent(id) {
  const events = await get(sandboxPath(id, '/events')).catch(() => []);
  return Math.max(0, ...events.map((event) => event.sequence));
}

// {name, ms} of each phase that a journal event tells, in the order that they had, and the rest.
function phasesOf({details}) {
  const phases = Object.entries(details)
      .filter(([name, ms]) => name.endsWith('_ms') && name !== 'total_ms' && typeof ms === 'number')
      .map(([name, ms]) => ({name: name.slice(0, -'_ms'.length).replaceAll('_', ' '), ms}));
  const rest = phases.reduce((left, {ms}) => left - ms, details.total_ms);
  return rest < 1 ? phases : [...phases, {name: 'other', ms: rest}];
}
