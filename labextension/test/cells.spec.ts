import { told } from '../src/attachments';
import { attachCell, callCell, DETACH_CELL, examplePath, ourCell } from '../src/cells';

test.each([
  ['attach', ['x = 1', attachCell('one')], 1],
  ['attach', [attachCell('one'), attachCell('two', true)], 0],
  ['attach', ['%kuberay attach one'], 0],
  ['attach', [`${attachCell('one')}\nprint(1)`], -1],
  ['attach', [DETACH_CELL], -1],
  ['attach', ['# %kuberay attach one'], -1],
  ['attach', ['', '%load_ext jupyter_kuberay'], -1],
  ['detach', [attachCell('one'), DETACH_CELL], 1]
] as const)('the cell that only does %s, of %j, is number %d', (verb, sources, at) => {
  expect(ourCell(sources, verb)).toBe(at);
});

test('another cluster is attached instead of the one that is', () => {
  expect(attachCell('two', true)).toContain('%kuberay attach two --replace');
  expect(attachCell('two')).not.toContain('--replace');
});

test.each([
  ["'training True'", { cluster: 'training', alive: true }],
  ["'a-1.b False'", { cluster: 'a-1.b', alive: false }],
  ['None', null],
  ['', null],
  ["'<img src=x> True'", null]
])('a kernel that answers %s is attached to %j', (shown, attachment) => {
  expect(told(shown)).toEqual(attachment);
});

const URL = 'http://127.0.0.1:8000/summarize';

test('a cell asks as the call for a shell does, by the service’s name', () => {
  const cell = callCell('sum', URL, `curl '${URL}/deep?text=a'`);
  expect(cell).toContain('Service("sum").reach()');
  expect(cell).toContain('requests.get(url + "/deep?text=a", timeout=60)');
  expect(callCell('sum', URL, '')).toContain('requests.get(url + "", timeout=60)');
});

test('an example cannot leave its string in the cell', () => {
  expect(callCell('sum', URL, `curl '${URL}/"); import os; ("'`)).toContain(
    'url + "/\\"); import os; (\\"", timeout=60)'
  );
});

test.each([
  [`curl '${URL}?text=a'`, '?text=a'],
  [`curl '${URL}/deep?x=1'`, 'deep?x=1'],
  [`curl '${URL}/'`, ''],
  ["curl 'http://elsewhere/x'", ''],
  ['', '']
])('of %s the example is %j', (call, path) => {
  expect(examplePath(URL, call)).toBe(path);
});
