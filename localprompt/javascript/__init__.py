"""JavaScript without Node: what suites say in Nunjucks and in JavaScript, run in a child of ours.

    engine ──▶ worker (a child process: QuickJS with limits of memory, time and stack)
                 ├── templates.js   real Nunjucks, with the rules by which suites are rendered
                 └── scripts.js     assertions and transforms, each in a realm of its own

There is no file, network, process or clock in there, so nothing that runs there needs
``--allow-code``. The child is a shield on top: whatever ends QuickJS ends only the child.
"""
