"""JavaScript without Node: a suite's Nunjucks and JavaScript, run in a child process.

    engine ──▶ worker (a child process: QuickJS with limits of memory, time and stack)
                 ├── templates.js   real Nunjucks, with the rules by which suites are rendered
                 └── scripts.js     assertions and transforms, each in a realm of its own

There is no file, network, process or clock in there, so nothing that runs there needs
``--allow-code``. The child is a shield on top: whatever ends QuickJS ends only the child.
"""
