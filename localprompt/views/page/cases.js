
// Cases: filters, a few rows at a time, and the difference of two columns. All of it is made when
// it is asked for and at once, so that what is on the screen is always what was chosen.
for (const block of document.querySelectorAll(".cases")) showCases(block);

function showCases(block) {
  const STEP = 50;
  const table = block.querySelector("table");
  const [a, b] = block.querySelectorAll("select");
  const radios = [...block.querySelectorAll("input[type=radio]")];
  const more = block.querySelector(".more");
  const shared = new Map();
  for (const details of block.querySelectorAll("details.shared"))
    shared.set(details.dataset.column, [...details.querySelectorAll("pre")].map((pre) => pre.textContent));
  let most = STEP;

  const chosen = () => (a?.value && a.value !== b.value ? [a.value, b.value] : null);

  const tests = {
    all: () => true,
    open: (cells) => cells.some((cell) => cell.className && cell.className !== "passed"),
    flipped: (cells) => new Set(cells.map((cell) => cell.dataset.passed).filter(Boolean)).size > 1,
    changed: (cells) => cells.some((cell) => cell.dataset.change),
  };

  function inQuestion(body) {
    const cells = [...body.rows[0].cells].slice(1);
    const pair = chosen();
    return pair ? pair.map((index) => cells[index]) : cells.filter((cell) => !("earlier" in cell.dataset));
  }

  function filter() {
    const test = tests[radios.find((radio) => radio.checked).value];
    let found = 0;
    for (const body of table.tBodies) body.hidden = !test(inQuestion(body)) || ++found > most;
    const shown = block.querySelector(".shown");
    const [text, first, of] =
      found > most ? [shown.dataset.first, most, found] : [shown.dataset.all, found, table.tBodies.length];
    shown.textContent = text.replace("{0}", first).replace("{1}", of);
    more.hidden = found <= most;
  }

  function count() {
    const rows = [...table.tBodies].map(inQuestion);
    for (const radio of radios)
      radio.parentElement.querySelector(".count").textContent = rows.filter(tests[radio.value]).length;
  }

  // The texts of one row: whole, and with a chosen pair marked where they differ.
  function fill(details) {
    const answers = [...details.querySelectorAll(".answer")];
    const pair = chosen();
    for (const answer of answers) answer.hidden = pair !== null && !pair.includes(answer.dataset.column);
    const [left, right] = (pair ?? []).map((column) => answers.find((one) => one.dataset.column === column));
    answers.sort((x, y) => x.dataset.column - y.dataset.column);
    details.querySelector(".answers").append(...answers);
    if (right) right.before(left ?? "");
    for (const answer of answers) for (const pre of answer.querySelectorAll("pre")) pre.replaceChildren(whole(pre));
    if (!left || !right) return;
    for (const pre of left.querySelectorAll("pre")) {
      const other = [...right.querySelectorAll("pre")].find((one) => one.dataset.text === pre.dataset.text);
      if (!other) continue;
      const [before, after] = difference(whole(pre), whole(other));
      pre.replaceChildren(...marked(before, "del"));
      other.replaceChildren(...marked(after, "ins"));
      if (pre.dataset.text === "prompt" && whole(pre) !== whole(other))
        for (const one of [pre, other]) one.parentElement.open = true;
    }
  }

  const texts = new WeakMap();
  function whole(pre) {
    if (!texts.has(pre)) {
      const [start, end] = (pre.dataset.text === "prompt" && shared.get(pre.closest(".answer").dataset.column)) || ["", ""];
      texts.set(pre, start + pre.textContent + end);
      pre.parentElement.querySelector(".shared")?.remove();
    }
    return texts.get(pre);
  }

  function choose() {
    b.disabled = !a.value;
    count();
    filter();
    for (const details of table.querySelectorAll(".details details[open]")) if (details.closest("tbody")) refill(details);
  }

  const refill = (details) => details.querySelector(".answers") && fill(details);

  for (const radio of radios) radio.addEventListener("change", () => { most = STEP; filter(); });
  for (const select of [a, b]) select?.addEventListener("change", choose);
  table.addEventListener("toggle", (event) => event.target.open && refill(event.target), true);
  table.addEventListener("sorted", filter);
  const [next, all] = more.querySelectorAll("button");
  next.addEventListener("click", () => { most += 2 * STEP; filter(); });
  all.addEventListener("click", () => { most = Infinity; filter(); });
  block.querySelector(".controls").hidden = false;
  count();
  filter();
}

// Both texts as lists of [is changed, text]. Lines are compared first; where lines of both sides
// stand against each other, their words are, unless most of them differ.
function difference(a, b) {
  const lines = (text) => text.match(/[^\n]*\n|[^\n]+/g) ?? [];
  const words = (text) => text.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) ?? [];
  const [before, after] = [[], []];
  const add = (list, changed, text) => {
    if (list.at(-1)?.[0] === changed) list.at(-1)[1] += text;
    else if (text) list.push([changed, text]);
  };
  const gap = (left, right) => {
    const [x, y] = [words(left), words(right)];
    const pairs = left && right ? common(x, y) : [];
    const isWord = (text) => /[\p{L}\p{N}]/u.test(text);
    const same = pairs.filter(([i]) => isWord(x[i])).length;
    if (same < Math.min(x.filter(isWord).length, y.filter(isWord).length) / 2) pairs.length = 0;
    let [i, j] = [0, 0];
    for (const [m, n] of [...pairs, [x.length, y.length]]) {
      add(before, true, x.slice(i, m).join(""));
      add(after, true, y.slice(j, n).join(""));
      if (m < x.length) { add(before, false, x[m]); add(after, false, y[n]); }
      [i, j] = [m + 1, n + 1];
    }
  };
  const [x, y] = [lines(a), lines(b)];
  let [i, j] = [0, 0];
  for (const [m, n] of [...common(x, y), [x.length, y.length]]) {
    gap(x.slice(i, m).join(""), y.slice(j, n).join(""));
    if (m < x.length) { add(before, false, x[m]); add(after, false, y[n]); }
    [i, j] = [m + 1, n + 1];
  }
  return [before, after];
}

// Index pairs of a longest common subsequence; where a table of all pairs would be too large, only
// what both begin and end with.
function common(x, y) {
  const MOST = 4e6;
  let start = 0, end = 0;
  while (start < Math.min(x.length, y.length) && x[start] === y[start]) start++;
  while (end < Math.min(x.length, y.length) - start && x.at(-1 - end) === y.at(-1 - end)) end++;
  const n = x.length - start - end, m = y.length - start - end;
  const pairs = Array.from({ length: start }, (_, k) => [k, k]);
  if ((n + 1) * (m + 1) <= MOST) {
    const lengths = new Uint32Array((n + 1) * (m + 1));
    const at = (i, j) => i * (m + 1) + j;
    for (let i = n - 1; i >= 0; i--)
      for (let j = m - 1; j >= 0; j--)
        lengths[at(i, j)] = x[start + i] === y[start + j]
          ? lengths[at(i + 1, j + 1)] + 1
          : Math.max(lengths[at(i + 1, j)], lengths[at(i, j + 1)]);
    for (let i = 0, j = 0; i < n && j < m; )
      if (x[start + i] === y[start + j]) pairs.push([start + i++, start + j++]);
      else if (lengths[at(i + 1, j)] >= lengths[at(i, j + 1)]) i++;
      else j++;
  }
  for (let k = end; k > 0; k--) pairs.push([x.length - k, y.length - k]);
  return pairs;
}

function marked(pieces, tag) {
  return pieces.map(([changed, text]) => {
    if (!changed) return document.createTextNode(text);
    const element = document.createElement(tag);
    element.textContent = text;
    return element;
  });
}
