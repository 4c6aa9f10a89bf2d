// What is shown, from what the server says: text only, never markup.

const MAX_LOG_LINES = 200;
const MAX_SHOWN_OUTPUT = 256 * 1024;

const find = (id) => document.getElementById(id);

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Text

function formatMs(ms) {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 10000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function formatBytes(bytes) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const unit = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const number = bytes / 1024 ** unit;
  return `${unit && number < 10 ? number.toFixed(1) : Math.round(number)} ${units[unit]}`;
}

function formatSeconds(seconds) {
  const parts = {h: Math.floor(seconds / 3600), min: Math.floor(seconds / 60) % 60, s: seconds % 60};
  const shown = Object.entries(parts).filter(([, number]) => number > 0).slice(0, 2);
  return shown.map(([unit, number]) => `${number} ${unit}`).join(' ') || '0 s';
}

function timeOf(date) {
  const today = date.toDateString() === new Date().toDateString();
  return element('time', {dateTime: date.toISOString(), title: date.toLocaleString(),
                          textContent: today ? date.toLocaleTimeString() : date.toLocaleString()});
}

function sizeText({vcpus, memory_mb: memory}) {
  return `${vcpus} vCPU${vcpus === 1 ? '' : 's'}, ${formatBytes(memory * 1024 ** 2)}`;
}

function idleText({status, timeout_sec: limit, on_timeout: then, expires_at: expires}) {
  if (limit === 0) return ['never', ''];
  const left = Math.max(0, Math.round((Date.parse(expires) - Date.now()) / 1000));
  return [`${then} after ${formatSeconds(limit)}`,
          status === 'running' && expires ? `in ${formatSeconds(left)}` : ''];
}

// Tables and choices

// Brings the rows of `body` in line with `items`. Rows stay the same nodes as long as their items are
// there, so a refresh takes no focus and ends no wait: makeRow(item) makes one, row.fill(item) fills it.
function updateRows(body, items, keyOf, makeRow) {
  const old = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  items.forEach((item, index) => {
    const name = keyOf(item);
    let row = old.get(name);
    old.delete(name);
    if (!row) {
      row = makeRow(item);
      row.dataset.key = name;
    }
    row.fill(item);
    if (body.rows[index] !== row) body.insertBefore(row, body.rows[index] ?? null);
  });
  for (const row of old.values()) row.remove();
}

// Gives `select` these {value, label}s, and keeps what was chosen where that is still there.
function updateChoices(select, choices, none) {
  const listed = JSON.stringify(choices);
  if (select.dataset.listed === listed) return;
  select.dataset.listed = listed;
  const chosen = select.value;
  const options = choices.map(({value, label}) => element('option', {value, textContent: label}));
  select.replaceChildren(...options.length ? options : [element('option', {value: '', textContent: none})]);
  if (choices.some(({value}) => value === chosen)) select.value = chosen;
}

// Messages

function say(text) {
  find('spoken').textContent = text;
}

function showNotice(text) {
  find('notice').hidden = !text;
  find('notice-text').textContent = text;
}

// What the person answers in a dialog: a number when `count` is given, else true; null when cancelled.
function ask({title, text, yes, danger = false, count}) {
  const dialog = find('ask');
  find('ask-title').textContent = title;
  find('ask-text').textContent = text;
  find('ask-yes').textContent = yes;
  find('ask-yes').className = danger ? 'danger' : 'primary';
  find('ask-field').hidden = find('ask-count').disabled = count === undefined;
  find('ask-count').value = count ?? '';
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      const answer = count === undefined ? true : find('ask-count').valueAsNumber;
      resolve(dialog.returnValue === 'yes' ? answer : null);
    }, {once: true});
  });
}

// The activity log

function phasesNode(id, event) {
  const phases = phasesOf(event);
  const title = `server, ${event.kind} of ${id}${event.phase === 'failed' ? ' (failed)' : ''}: ` +
      formatMs(event.details.total_ms);
  const share = element('div', {className: 'share', ariaHidden: 'true'});
  for (const {ms} of phases) {
    const part = element('span');
    part.style.flexGrow = ms;
    share.append(part);
  }
  const items = phases.map(({name, ms}) => element('li', {}, `${name} ${formatMs(ms)}`));
  return element('div', {className: 'phases'}, title, share, element('ul', {}, ...items));
}

// A line of the log, which ends with done() or failed().
function beginLogLine(title) {
  const what = element('span', {textContent: title});
  const took = element('span', {className: 'took waiting', textContent: 'runs…'});
  const line = element('li', {}, element('div', {className: 'line'}, timeOf(new Date()), what, took));
  const log = find('log');
  log.prepend(line);
  while (log.children.length > MAX_LOG_LINES) log.lastChild.remove();
  find('log-empty').hidden = true;

  const end = (text, outcome, ms) => {
    setText(what, text);
    took.className = `took ${outcome}`;
    setText(took, ms === undefined ? outcome : `${outcome}, ${formatMs(ms)}`);
    say(text);
  };
  return {
    done: (text, ms) => end(text, 'done', ms),
    failed: (text, ms) => end(text, 'failed', ms),
    addPhases: (id, events) => line.append(...events.map((event) => phasesNode(id, event))),
  };
}

// Output of commands

// What a stream of an ExecResult holds, as text: the beginning of it, when it is more than a browser
// likes to show.
function outputText(data, encoding) {
  let text = data;
  if (encoding === 'base64') {
    text = new TextDecoder().decode(Uint8Array.from(atob(data), (char) => char.charCodeAt(0)));
  }
  if (text.length <= MAX_SHOWN_OUTPUT) return text;
  return `${text.slice(0, MAX_SHOWN_OUTPUT)}\n(${text.length - MAX_SHOWN_OUTPUT} more characters)\n`;
}

// In place of a result: that there is none yet.
function showNoExecResult(text) {
  setText(find('exec-empty'), text);
  find('exec-empty').hidden = false;
  find('exec-result').hidden = true;
}

function showExecResult(id, command, result, ms) {
  const facts = [
    ['muted', `in ${id}`],
    [result.exit_code === 0 ? 'done' : 'failed', `exit code ${result.exit_code}`],
    ['muted', `ran ${formatMs(result.duration_ms)}`],
    ['muted', `request ${formatMs(ms)}`],
  ];
  if (result.exit_code < 0) facts.push(['failed', result.status]);
  if (result.encoding === 'base64') facts.push(['muted', 'not all of it is UTF-8']);
  if (result.truncated) facts.push(['muted', 'the server left out what came after 16 MiB']);
  find('exec-summary').replaceChildren(
      element('code', {textContent: command}),
      ...facts.map(([className, textContent]) => element('span', {className, textContent})));
  find('stdout').textContent = outputText(result.stdout, result.encoding);
  find('stderr').textContent = outputText(result.stderr, result.encoding);
  find('exec-empty').hidden = true;
  find('exec-result').hidden = false;
}
