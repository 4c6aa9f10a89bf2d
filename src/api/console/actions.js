// What the page does.

const REFRESH_MS = 2000;

let templates = [];
let sandboxes = [];
let refreshes = 0;   // how many have begun: only the last one's answer counts
let timer = 0;
let offline = false;

// Runs one action: a line in the log with the request's time and the phases of the server's journal,
// `buttons` disabled meanwhile, the server's message when it fails. `sandbox` is the id that it is
// about, if there is one before; tell(answer) is its line, touched(answer) the ids whose journals tell
// more. Answers the server's answer and the milliseconds that it took, or null.
async function act(title, {buttons, sandbox, send, tell = () => title, touched = () => []}) {
  showNotice('');
  const line = beginLogLine(title);
  const focused = document.activeElement;
  for (const button of buttons) button.disabled = true;
  const seen = sandbox ? await lastEvent(sandbox) : 0;
  const began = performance.now();
  let ended = null;
  try {
    const answer = await send();
    ended = {answer, ms: performance.now() - began};
    line.done(tell(answer), ended.ms);
  } catch (error) {
    const text = `${title}: ${error.message}`;
    line.failed(text, performance.now() - began);
    showNotice(text);
    if (error.status === 401) askForKey(error.message);
  }
  await refresh();
  for (const button of buttons) button.disabled = false;
  // A disabled button loses the focus; one that is gone leaves it to its table.
  if (document.activeElement === document.body && buttons.includes(focused)) restoreFocus(focused);
  if (sandbox) line.addPhases(sandbox, await timedEvents(sandbox, seen));
  if (ended) for (const id of touched(ended.answer)) line.addPhases(id, await timedEvents(id));
  return ended;
}

function restoreFocus(button) {
  const row = button.closest('tr');
  const next = [button, ...row?.querySelectorAll('button') ?? []]
      .find((candidate) => candidate.isConnected && !candidate.hidden);
  (next ?? find('sandboxes-title')).focus();
}

// Sandboxes

async function pause(id, buttons) {
  await act(`pause ${id}`, {buttons, sandbox: id, send: () => request('POST', sandboxPath(id, '/pause'))});
}

async function resume(id, buttons) {
  await act(`resume ${id}`, {buttons, sandbox: id, send: () => request('POST', sandboxPath(id, '/resume'))});
}

async function fork(id, buttons) {
  const count = await ask({title: 'Fork', text: `Make sandboxes that go on from where ${id} is now.`,
                           yes: 'Fork', count: 1});
  if (count === null) return;
  const ids = (answer) => answer.sandboxes.map((made) => made.id);
  await act(`fork ${id}`, {
    buttons, sandbox: id, touched: ids,
    send: () => request('POST', sandboxPath(id, '/fork'), {body: {count}}),
    tell: (answer) => `forked ${id}: ${ids(answer).join(', ')}`,
  });
}

async function destroy(id, buttons) {
  const sure = await ask({title: 'Destroy', yes: 'Destroy', danger: true,
                          text: `End ${id} at once and remove everything of it?`});
  if (sure) await act(`destroy ${id}`, {buttons, send: () => request('DELETE', sandboxPath(id))});
}

function choose(select, id, next) {
  find(select).value = id;
  find(next).focus();
}

// A label, the states that offer it, and what it does.
const SANDBOX_ACTIONS = [
  ['Run…', ['running'], (id) => choose('exec-sandbox', id, 'exec-command')],
  ['Pause', ['running'], pause],
  ['Resume', ['paused'], resume],
  ['Fork', ['running', 'paused'], fork],
  ['Snapshot…', ['running', 'paused'], (id) => choose('snapshot-sandbox', id, 'snapshot-name')],
  ['Destroy', null, destroy],
];

function makeSandboxRow({id, created_at: created}) {
  const badge = element('span');
  const [reason, origin] = ['small', 'small'].map((tag) => element(tag, {className: 'reason'}));
  const [template, size, idle, left] = ['span', 'small', 'span', 'small'].map((tag) => element(tag));
  const buttons = SANDBOX_ACTIONS.map(([label, , run]) => {
    const button = element('button', {type: 'button', textContent: label});
    button.ariaLabel = `${label} ${id}`;
    button.addEventListener('click', () => run(id, buttons));
    return button;
  });
  buttons.at(-1).className = 'danger';
  const row = element('tr', {},
      element('td', {}, element('code', {textContent: id}), element('small', {}, timeOf(new Date(created)))),
      element('td', {}, badge, reason), element('td', {}, template, size, origin),
      element('td', {}, idle, left),
      element('td', {}, element('div', {className: 'buttons'}, ...buttons)));
  row.fill = (sandbox) => {
    badge.className = `badge ${sandbox.status}`;
    setText(badge, sandbox.status);
    setText(reason, sandbox.reason ?? '');
    setText(template, sandbox.template);
    setText(size, sizeText(sandbox));
    setText(origin, sandbox.origin ?? '');
    const [limit, until] = idleText(sandbox);
    setText(idle, limit);
    setText(left, until);
    SANDBOX_ACTIONS.forEach(([, states], index) => {
      buttons[index].hidden = states !== null && !states.includes(sandbox.status);
    });
  };
  return row;
}

function showSandboxes() {
  updateRows(find('sandboxes'), sandboxes, ({id}) => id, makeSandboxRow);
  find('sandboxes-empty').hidden = sandboxes.length > 0;
  setText(find('sandboxes-empty'), 'There are no sandboxes. Create one from a template.');
  const choicesOf = (...states) => sandboxes.filter(({status}) => states.includes(status))
      .map(({id, template}) => ({value: id, label: `${id} (${template})`}));
  updateChoices(find('exec-sandbox'), choicesOf('running'), 'none is running');
  updateChoices(find('snapshot-sandbox'), choicesOf('running', 'paused'), 'there is none');
}

// Templates and snapshots

async function deleteSnapshot(name, buttons) {
  const sure = await ask({title: 'Delete', yes: 'Delete', danger: true,
                          text: `Delete the snapshot '${name}'?`});
  if (!sure) return;
  await act(`delete snapshot '${name}'`, {buttons, send: () => request('DELETE', snapshotPath(name))});
}

function makeTemplateRow({name, type}) {
  const [size, room] = ['span', 'small'].map((tag) => element(tag));
  const made = element('td');
  const use = element('button', {type: 'button', textContent: 'Use', ariaLabel: `Use ${name}`});
  const remove = element('button', {type: 'button', className: 'danger', textContent: 'Delete',
                                    ariaLabel: `Delete ${name}`, hidden: type !== 'snapshot'});
  const buttons = [use, remove];
  use.addEventListener('click', () => {
    choose('create-template', name, 'create-template');
    showDefaults();
  });
  remove.addEventListener('click', () => deleteSnapshot(name, buttons));
  const row = element('tr', {},
      element('td', {}, element('span', {textContent: name}), element('small', {textContent: type})),
      element('td', {}, size, room), made,
      element('td', {}, element('div', {className: 'buttons'}, ...buttons)));
  row.fill = (template) => {
    setText(size, sizeText(template));
    setText(room, `${formatBytes(template.size_bytes)} on disk`);
    if (made.firstChild?.dateTime !== new Date(template.created_at).toISOString()) {
      made.replaceChildren(timeOf(new Date(template.created_at)));
    }
  };
  return row;
}

function showTemplates() {
  updateRows(find('templates'), templates, ({id}) => id, makeTemplateRow);
  find('templates-empty').hidden = templates.length > 0;
  setText(find('templates-empty'), 'There are no templates. Build one: wrenn template build minimal');
  const choices = templates.map(({name, type}) => ({value: name, label: type === 'base' ? name : `${name} (${type})`}));
  updateChoices(find('create-template'), choices, 'there is none');
  showDefaults();
}

// What the chosen template brings; a snapshot's machine is as it was.
function showDefaults() {
  const template = templates.find(({name}) => name === find('create-template').value);
  for (const [id, field] of [['create-vcpus', 'vcpus'], ['create-memory', 'memory_mb']]) {
    const input = find(id);
    input.placeholder = template?.[field] ?? '';
    input.disabled = template?.type === 'snapshot';
    if (input.disabled) input.value = '';
  }
}

// Forms

const wholeNumber = (id) => find(id).value === '' ? undefined : find(id).valueAsNumber;
const submitOf = (form) => [form.querySelector('button.primary')];

async function create(form) {
  const body = {
    template: find('create-template').value,
    vcpus: wholeNumber('create-vcpus'),
    memory_mb: wholeNumber('create-memory'),
    timeout_sec: wholeNumber('create-timeout'),
    on_timeout: find('create-on-timeout').value,
  };
  await act(`create from '${body.template}'`, {
    buttons: submitOf(form),
    send: () => request('POST', '/v1/sandboxes', {body}),
    tell: (made) => `created ${made.id} from '${body.template}'`,
    touched: (made) => [made.id],
  });
}

async function exec(form) {
  const id = find('exec-sandbox').value;
  const command = find('exec-command').value;
  const body = {cmd: '/bin/sh', args: ['-c', command], timeout_sec: wholeNumber('exec-timeout')};
  showNoExecResult('Running…');
  const ended = await act(`run in ${id}: ${command}`, {
    buttons: submitOf(form),
    send: () => request('POST', sandboxPath(id, '/exec'), {body}),
    tell: ({exit_code: code, duration_ms: ms}) => `ran in ${id}: ${command} (exit code ${code}, ran ${formatMs(ms)})`,
  });
  if (ended) showExecResult(id, command, ended.answer, ended.ms);
  else showNoExecResult('There is no result of the last command.');
}

async function takeSnapshot(form) {
  const id = find('snapshot-sandbox').value;
  const body = {sandbox_id: id, name: find('snapshot-name').value || undefined};
  const query = find('snapshot-overwrite').checked ? '?overwrite=true' : '';
  await act(`snapshot of ${id}`, {
    buttons: submitOf(form), sandbox: id,
    send: () => request('POST', `/v1/snapshots${query}`, {body}),
    tell: (made) => `took snapshot '${made.name}' of ${id}`,
  });
}

// Refresh

function setOffline(why) {
  if (why && !offline) beginLogLine('refresh').failed(why);
  if (!why && offline) beginLogLine('refresh').done('the server answers again');
  offline = Boolean(why);
  find('offline').hidden = !offline;
  setText(find('offline'), offline ? `${why}; trying again every ${REFRESH_MS / 1000} s` : '');
  find('console').classList.toggle('stale', offline);
}

// Shows what is there now, and sees to it that it happens again.
async function refresh() {
  if (!key.get()) return;
  clearTimeout(timer);
  const mine = ++refreshes;
  let failure = null;
  try {
    const answers = await Promise.all([get('/v1/sandboxes'), get('/v1/templates')]);
    if (mine !== refreshes) return;
    [sandboxes, templates] = answers;
    showTemplates();
    showSandboxes();
  } catch (error) {
    failure = error;
  }
  if (mine !== refreshes) return;
  if (failure?.status === 401) {
    askForKey(failure.message);
    return;
  }
  if (!failure && offline) showServer();
  setOffline(failure?.message);
  timer = setTimeout(refreshByItself, REFRESH_MS);
}

// Not for a tab that nobody looks at: it does so again when somebody does.
function refreshByItself() {
  if (!document.hidden && (find('auto').checked || offline)) refresh();
}

async function showServer() {
  try {
    const {version, engine} = await get('/health', {withKey: null});
    setText(find('server'), `wrenn ${version}, ${engine.name} ${engine.version} with ${engine.acceleration}` +
        (engine.security_boundary ? '' : ': emulated, which is no security boundary'));
  } catch (error) {
    setText(find('server'), error.message);
  }
}

// The key

function askForKey(message) {
  key.forget();
  clearTimeout(timer);
  ++refreshes;
  find('console').hidden = find('forget-key').hidden = find('offline').hidden = true;
  showNotice('');
  find('gate').hidden = false;
  find('gate-error').textContent = message;
  find('key').value = '';
  find('key').focus();
}

function openConsole() {
  find('gate').hidden = true;
  find('console').hidden = find('forget-key').hidden = false;
  find('sandboxes-title').focus();
  refresh();
}

async function tryKey(form) {
  const [button] = submitOf(form);
  const text = find('key').value.trim();
  find('gate-error').textContent = '';
  button.disabled = true;
  try {
    await checkKey(text);
    key.set(text);
    find('key').value = '';
    openConsole();
  } catch (error) {
    if (error.status === 401) askForKey(error.message);
    find('gate-error').textContent = error.message;
  }
  button.disabled = false;
}

// Beginning

function onSubmit(id, run) {
  find(id).addEventListener('submit', (event) => {
    event.preventDefault();
    // Enter in a field submits also while the button is disabled by a run that has not ended.
    if (!submitOf(event.target)[0]?.disabled) run(event.target);
  });
}

onSubmit('gate-form', tryKey);
onSubmit('create-form', create);
onSubmit('exec-form', exec);
onSubmit('snapshot-form', takeSnapshot);
onSubmit('ask-form', () => find('ask').close('yes'));
find('ask-no').addEventListener('click', () => find('ask').close());
find('exec-command').addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  find('exec-form').requestSubmit();
});
find('create-template').addEventListener('change', showDefaults);
find('refresh').addEventListener('click', refresh);
find('auto').addEventListener('change', refresh);
// With it goes all that it has shown.
find('forget-key').addEventListener('click', () => {
  key.forget();
  location.reload();
});
find('notice-close').addEventListener('click', () => showNotice(''));
find('clear-log').addEventListener('click', () => {
  find('log').replaceChildren();
  find('log-empty').hidden = false;
});
document.addEventListener('visibilitychange', refreshByItself);

showServer();
if (key.get()) openConsole();
else askForKey('');
