// Suites' templates, rendered as promptfoo renders them. Runs once per child, behind Nunjucks, in
// a realm whose built-ins are frozen afterwards: a template can reach JavaScript through
// `''.constructor`, and what it does there must not outlive it.
"use strict";
(function (global) {
  const nunjucks = global.nunjucks;
  delete global.nunjucks;
  const MOST_CHARACTERS = 16 * 1024 * 1024;
  const MOST_TEMPLATES = 4096;
  const environments = new Map();

  // A filter is the source of a function; each set of filters has an environment of its own.
  function environment(filters) {
    const key = JSON.stringify(filters);
    if (!environments.has(key)) {
      const made = new nunjucks.Environment(null, { autoescape: false });
      made.addFilter("load", (text) => JSON.parse(text));
      for (const name of Object.keys(filters)) made.addFilter(name, new Function(filters[name])());
      environments.set(key, { made, templates: new Map() });
    }
    return environments.get(key);
  }

  function render(text, variables, env, filters) {
    const { made, templates } = environment(filters);
    made.addGlobal("env", env);
    let template = templates.get(text);
    if (template === undefined) {
      if (templates.size > MOST_TEMPLATES) templates.clear();
      template = new nunjucks.Template(text, made, null, true);
      templates.set(text, template);
    }
    const rendered = template.render(variables);
    if (rendered.length > MOST_CHARACTERS) throw new RangeError("more than 16 MiB of text");
    return rendered;
  }

  function inside(value, variables, env) {
    if (typeof value === "string") return render(value, variables, env, {});
    if (Array.isArray(value)) return value.map((item) => inside(item, variables, env));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, inside(item, variables, env)]),
    );
  }

  // A tag that does not end on its line makes promptfoo take the whole text as it stands.
  function whole(text) {
    if (!/(\{%[^%]*|\{\{[^}]*|\{#[^#]*)$/m.test(text)) return text;
    const already = /\{%\s*raw\s*%\}/.test(text) && /\{%\s*endraw\s*%\}/.test(text);
    return already ? text : `{% raw %}${text}{% endraw %}`;
  }

  // The variables that a value names at the beginning of a tag: promptfoo leaves a value alone
  // that names one which is not there.
  function named(text) {
    const literal = /\{\{-?\s*(?:'[^']*'|"[^"]*")\s*-?\}\}/g; // {{ '{{name}}' }} names nothing
    const plain = text.replace(/\{#[\s\S]*?#\}/g, "").replace(literal, "");
    const names = new Set();
    for (const found of plain.matchAll(/\{\{\s*([^\s{}|]+)\s*(?:\|[^}]+)?\}\}/g)) names.add(found[1]);
    for (const found of plain.matchAll(/\{%\s*(?:if|for)\s+([^\s{}]+)\s*.*?%\}/g)) names.add(found[1]);
    for (const found of plain.matchAll(/\{%\s*for\s+(\w+)\s+in\s+(\w+)\s*%\}/g)) {
      names.delete(found[1]);
      names.add(found[2]);
    }
    return [...names].map((name) => /^[A-Za-z_]\w*/.exec(name)?.[0]).filter((name) => name);
  }

  function settled(value, variables, env, filters) {
    if (typeof value !== "string" || !value.includes("{")) return value;
    const missing = named(value).some((name) => name !== "env" && variables[name] === undefined);
    return missing ? value : render(whole(value), variables, env, filters);
  }

  // What a body is; looked at once for all the cases that it is rendered for.
  let latest = { body: null };
  function looked(body) {
    if (latest.body === body) return latest;
    latest = { body, json: undefined, text: whole(body) };
    try {
      latest.json = JSON.parse(body);
    } catch {
      // then it is text
    }
    return latest;
  }

  function prompt(body, variables, env, filters) {
    const { json, text } = looked(body);
    if (json !== undefined) {
      try {
        return JSON.stringify(inside(json, variables, env), null, 2);
      } catch {
        // promptfoo takes it as text then
      }
    }
    const values = {};
    for (const key of Object.keys(variables)) {
      values[key] = settled(variables[key], variables, env, filters);
    }
    return render(text, values, env, filters);
  }

  // The same text with what values wrote as text between two marks, so that whoever reads the
  // result as a chat can tell whether a value closed what its author had opened.
  const BEGIN = "\uE0F0", END = "\uE0F1";
  const suppress = nunjucks.runtime.suppressValue;
  let marking = false;
  nunjucks.runtime.suppressValue = function (value, autoescape) {
    const text = suppress.call(this, value, autoescape);
    return marking && typeof value === "string" && value !== dumped ? BEGIN + text + END : text;
  };
  let dumped = null;
  function marked(body, variables, env, filters) {
    marking = true;
    const { made } = environment(filters);
    const dump = made.getFilter("dump");
    made.addFilter("dump", function (value, spaces) {
      dumped = dump.call(this, value, spaces);
      return dumped;
    });
    try {
      // Values are settled before they are marked, so that marks stand in the body only.
      marking = false;
      const values = {};
      for (const key of Object.keys(variables)) {
        values[key] = settled(variables[key], variables, env, filters);
      }
      marking = true;
      return render(whole(body), values, env, filters);
    } finally {
      marking = false;
      dumped = null;
      made.addFilter("dump", dump);
    }
  }

  // What a template takes from outside: `needed` without a way round, `optional` with one (a
  // default, or asked for by an if).
  function analysed(text, filters) {
    const nodes = nunjucks.nodes;
    const needed = new Set(), optional = new Set(), own = new Set(), unknown = new Set();
    const known = environment(filters).made;
    const targets = (node) => {
      if (node instanceof nodes.Symbol) own.add(node.value);
      else if (node && node.children) node.children.forEach(targets);
    };
    const walk = (node, asked) => {
      if (node === null || node === undefined || typeof node !== "object") return;
      if (Array.isArray(node)) return node.forEach((item) => walk(item, asked));
      if (!(node instanceof nodes.Node)) return;
      if (node instanceof nodes.Filter) {
        const name = node.name.value;
        try {
          known.getFilter(name);
        } catch {
          unknown.add(name);
        }
        const [value, ...rest] = node.args.children;
        walk(value, asked || name === "default" || name === "d");
        return walk(rest, asked);
      }
      if (node instanceof nodes.Symbol) return void (asked ? optional : needed).add(node.value);
      if (node instanceof nodes.LookupVal) {
        walk(node.target, asked);
        return node.val instanceof nodes.Literal ? undefined : walk(node.val, asked);
      }
      if (node instanceof nodes.If || node instanceof nodes.InlineIf) {
        walk(node.cond, true);
        walk(node.body, asked);
        return walk(node.else_, asked);
      }
      if (node instanceof nodes.Is || node instanceof nodes.Or || node instanceof nodes.Not) {
        walk(node.left, true);
        walk(node.target, true);
        return walk(node.right, asked || node instanceof nodes.Is);
      }
      if (node instanceof nodes.For) targets(node.name);
      if (node instanceof nodes.Set) node.targets.forEach(targets);
      if (node instanceof nodes.Macro) {
        targets(node.name);
        targets(node.args);
      }
      if (node instanceof nodes.KeywordArgs || node instanceof nodes.Dict) {
        return node.children.forEach((pair) => walk(pair.value, asked));
      }
      for (const field of node.fields) {
        if (node instanceof nodes.For && field === "name") continue;
        if (node instanceof nodes.Set && field === "targets") continue;
        if (node instanceof nodes.Macro && (field === "name" || field === "args")) continue;
        walk(node[field], asked);
      }
    };
    const templates = text.includes("{") ? nunjucks.parser.parse(whole(text), [], {}) : null;
    walk(templates, false);
    const globals = new Set(["env", "range", "cycler", "joiner", "loop", "caller", "super", "undefined"]);
    const outside = (name) => !own.has(name) && !globals.has(name);
    const kept = [...needed].filter(outside).filter((name) => !optional.has(name));
    return {
      needed: kept.sort(),
      optional: [...optional].filter(outside).sort(),
      unknown_filters: [...unknown].sort(),
    };
  }

  // A body that is JSON is rendered text by text, so that is how it is looked at.
  function analyse(text, filters) {
    let parts = [text];
    try {
      parts = [];
      const gather = (value) => {
        if (typeof value === "string") parts.push(value);
        else if (value !== null && typeof value === "object") Object.values(value).forEach(gather);
      };
      gather(JSON.parse(text));
    } catch {
      parts = [text];
    }
    const found = parts.map((part) => {
      try {
        return analysed(part, filters);
      } catch (error) {
        if (!error || !error.lineno) throw error;
        throw new Error(`${error.message}, line ${error.lineno} of the template`);
      }
    });
    const joined = (field) => [...new Set(found.flatMap((one) => one[field]))].sort();
    const optional = joined("optional");
    return {
      needed: joined("needed").filter((name) => !optional.includes(name)),
      optional,
      unknown_filters: joined("unknown_filters"),
    };
  }

  const operations = {
    prompt: (asked) => prompt(asked.text, asked.vars, asked.env, asked.filters),
    prompts: (asked) =>
      asked.many.map((variables) => {
        try {
          return { text: prompt(asked.text, variables, asked.env, asked.filters) };
        } catch (error) {
          return { threw: String(error && error.message ? error.message : error) };
        }
      }),
    marked: (asked) => marked(asked.text, asked.vars, asked.env, asked.filters),
    text: (asked) => render(asked.text, asked.vars, asked.env, asked.filters),
    analyse: (asked) => analyse(asked.text, asked.filters),
  };
  global.answer = (request) => {
    const asked = JSON.parse(request);
    return JSON.stringify(operations[asked.operation](asked));
  };

  // Frozen but for the errors' own family, whose instances name themselves by assignment.
  const seen = new Set();
  const freeze = (value) => {
    if (value === null || !/^(object|function)$/.test(typeof value) || seen.has(value)) return;
    seen.add(value);
    for (const key of Reflect.ownKeys(value)) {
      const found = Object.getOwnPropertyDescriptor(value, key);
      freeze(found.value);
      freeze(found.get);
      freeze(found.set);
    }
    freeze(Object.getPrototypeOf(value));
    Object.freeze(value);
  };
  for (const name of Object.getOwnPropertyNames(global)) {
    if (/Error$/.test(name)) seen.add(global[name]).add(global[name].prototype);
  }
  for (const name of Object.getOwnPropertyNames(global)) {
    if (name !== "globalThis" && name !== "window") freeze(global[name]);
  }
  delete global.window;
  Object.freeze(global);
})(globalThis);
