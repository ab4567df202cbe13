// What somebody's JavaScript finds around itself: the language, a console that says nothing, timers
// that do not wait, and no Node. Runs first in every realm; a realm serves one call.
"use strict";
(function (global) {
  const missing = (name) => () => {
    throw new Error(`${name} needs Node, which is not here`);
  };
  const nothing = () => undefined;
  global.console = Object.fromEntries(
    ["log", "info", "warn", "error", "debug", "trace", "table", "dir", "time", "timeEnd"].map(
      (name) => [name, nothing],
    ),
  );
  for (const name of ["fetch", "require"]) global[name] = missing(name);
  for (const name of ["process", "Buffer"]) {
    global[name] = new Proxy(missing(name), { get: missing(name), has: missing(name) });
  }
  global.structuredClone = (value) => (value === undefined ? value : JSON.parse(JSON.stringify(value)));

  // No clock: what a case is given must not depend on when it is given.
  const RealDate = Date;
  const clock = () => {
    throw new Error("the clock cannot be read here: results would change from day to day");
  };
  global.Date = new Proxy(RealDate, {
    construct: (target, given) => (given.length ? new target(...given) : clock()),
    apply: clock,
    get: (target, name) => (name === "now" ? clock : target[name]),
  });
  global.performance = undefined;
  let seed = 42;
  Math.random = () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;

  // Timers run in the order of their times when nothing else is left to do.
  const timers = [];
  let next = 1;
  global.setTimeout = (call, wait, ...given) => {
    timers.push({ id: next, at: Number(wait) || 0, call: () => call(...given) });
    return next++;
  };
  global.clearTimeout = (id) => {
    const index = timers.findIndex((timer) => timer.id === id);
    if (index >= 0) timers.splice(index, 1);
  };
  global.setImmediate = (call, ...given) => setTimeout(call, 0, ...given);

  const state = { settled: false, value: undefined, error: undefined };
  const internals = {
    // Runs one timer; false: there is none left.
    tick() {
      if (!timers.length) return false;
      const first = timers.reduce((a, b) => (b.at < a.at ? b : a));
      timers.splice(timers.indexOf(first), 1);
      first.call();
      return true;
    },
    // A function from the source of a file with one exported function.
    exported(source, name) {
      const module = { exports: {} };
      new Function("module", "exports", "require", source)(module, module.exports, global.require);
      const found = module.exports;
      const chosen = name ? (found[name] ?? found.default?.[name]) : (found.default ?? found);
      if (typeof chosen !== "function") {
        throw new Error(name ? `the file exports no function ${name}` : "the file exports no function");
      }
      return chosen;
    },
    // Code that is no expression may still be a body: `if (a) return 1; return 0` on one line.
    compiled(asked) {
      try {
        return new Function(...asked.names, "process", asked.source);
      } catch (error) {
        if (!asked.otherwise || !(error instanceof SyntaxError)) throw error;
        return new Function(...asked.names, "process", asked.otherwise);
      }
    },
    start(asked) {
      const given = asked.given;
      const call = asked.file
        ? internals.exported(asked.source, asked.name)
        : internals.compiled(asked);
      new Promise((resolve) => resolve(call(...given, global.process))).then(
        (value) => Object.assign(state, { settled: true, value }),
        (error) => Object.assign(state, { settled: true, error, threw: true }),
      );
    },
    result() {
      if (!state.settled) return JSON.stringify({ unsettled: true });
      if (state.threw) {
        const error = state.error;
        return JSON.stringify({ threw: error instanceof Error ? error.message : String(error) });
      }
      const kind = state.value === null ? "null" : typeof state.value;
      const plain = kind === "bigint" ? String(state.value) : state.value;
      return JSON.stringify({ kind, value: plain === undefined ? null : plain });
    },
  };
  global.__internals = internals;
})(globalThis);
