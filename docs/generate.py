"""Write the parts of the documentation that the code knows best.

    python docs/generate.py          write them
    python docs/generate.py --check  exit with 1 if one is not what the code says now

Generated: the command-line reference (docs/cli.md); in README.md, between their markers, the tree
and the verdicts of the newest evidence under benchmarks/results, the latter in README.pt-BR.md as
well; those verdicts as a picture
(docs/evidence.svg); and the table of estimated against
published training memory. A test runs the check.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import typer.main

from localprompt.cli.app import build_app
from localprompt.finetune.estimate.published import accuracy_table
from localprompt.records.evidence import EvidenceReport, Verdict
from localprompt.views.evidence import evidence_markdown, verdict_kind
from localprompt.views.language import Language

ROOT = Path(__file__).resolve().parent.parent
CLI_REFERENCE = ROOT / "docs" / "cli.md"
README = ROOT / "README.md"
PORTUGUESE = ROOT / "README.pt-BR.md"
ESTIMATES = ROOT / "docs" / "guide" / "finetune-estimate.md"
PICTURE = ROOT / "docs" / "evidence.svg"

_TREE = re.compile(r"(<!-- tree -->\n```\n).*?(```\n<!-- /tree -->)", re.DOTALL)
_EVIDENCE = re.compile(r"(<!-- evidence -->\n).*?(<!-- /evidence -->\n)", re.DOTALL)
_ACCURACY = re.compile(r"(<!-- generated: begin -->\n).*?(<!-- generated: end -->\n)", re.DOTALL)

_CLI_HEAD = """\
# Command line

Generated from the program itself by `python docs/generate.py`; do not edit.

Answers and tables go to stdout, everything else (progress, warnings, measurements) to stderr.
Exit codes: 0 done; 1 the work ran and failed its thresholds; 2 wrong usage or input; 3 the machine
or a file prevents it; 130 interrupted.
"""


def cli_reference() -> str:
    """Every command with its options, in the order of ``localprompt --help``."""
    root = typer.main.get_command(build_app())
    return _CLI_HEAD + "".join(_sections(root, "localprompt"))


def readme_text() -> str:
    """README.md with the tree as the checkout has it now, and the newest verdicts."""
    text = README.read_text(encoding="utf-8")
    text = _EVIDENCE.sub(lambda match: match[1] + verdicts() + match[2], text)
    return _TREE.sub(lambda match: match[1] + tree() + match[2], text)


def verdicts() -> str:
    """The table of the newest evidence that was committed; nothing where there is none."""
    newest = newest_evidence()
    if newest is None:
        return ""
    path, report = newest
    found = Counter(finding.verdict for finding in report.findings)
    counts = ", ".join(f"{found[verdict]} {verdict}" for verdict in get_args(Verdict))
    page, data = (_link(path.with_suffix(end)) for end in (".html", ".json"))
    return (
        f"\nTen reasons to prompt instead of fine-tuning, tried: {counts}.\n"
        "Rules that were fixed before made the verdicts "
        f"([how](docs/guide/evidence.md), [page]({page}), [data]({data})).\n"
        "In parentheses: the 95 % interval of what was measured, the range of what is estimated.\n"
        "Scores are those of one small model on small data sets and do not carry over to others.\n"
        f"\n{evidence_markdown(report)}\n"
    )


_VERDICTS = {
    "supported": "confirmadas",
    "not-supported": "não confirmadas",
    "not-shown": "não demonstradas aqui",
    "not-run": "não testadas",
}


def portuguese_text() -> str:
    """README.pt-BR.md with the newest verdicts; the rest of it is written by hand."""
    text = PORTUGUESE.read_text(encoding="utf-8")
    newest = newest_evidence()
    if newest is None:
        return text
    path, report = newest
    say = Language("pt-BR")
    found = Counter(verdict_kind(finding) for finding in report.findings)
    counts = ", ".join(f"{found[kind]} {word}" for kind, word in _VERDICTS.items() if found[kind])
    page, data = (_link(path.with_suffix(end)) for end in (".html", ".json"))
    said = (
        f"\nDez razões para usar prompts em vez de fine-tuning, postas à prova: {counts}.\n"
        "Regras fixadas de antemão deram os vereditos "
        f"([como](docs/guide/evidence.md), [página]({page}), [dados]({data})).\n"
        "Entre parênteses: o intervalo de 95 % do que foi medido, a faixa do que é estimado.\n"
        "Os scores são de um modelo pequeno em datasets pequenos e não valem para outros.\n"
        f"\n{evidence_markdown(report, say)}\n"
    )
    return _EVIDENCE.sub(lambda match: match[1] + said + match[2], text)


def newest_evidence() -> tuple[Path, EvidenceReport] | None:
    """The evidence that was committed last; None: there is none."""
    results = sorted((ROOT / "benchmarks" / "results").glob("*-evidence.json"))
    if not results:
        return None
    return results[-1], msgspec.json.decode(results[-1].read_bytes(), type=EvidenceReport)


def picture() -> str:
    """The verdicts of the newest evidence, as the picture that the README shows."""
    newest = newest_evidence()
    return "" if newest is None else _sibling("picture").evidence_svg(newest[1])


def _sibling(name: str) -> Any:
    """A module beside this one: neither folder is a package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _link(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def estimates_text() -> str:
    """The guide to the estimator with its figures against published ones as they come out now."""
    text = ESTIMATES.read_text(encoding="utf-8")
    return _ACCURACY.sub(lambda match: match[1] + accuracy_table() + match[2], text)


def tree() -> str:
    """The top-level folders and the package's parts, with the first line of what they say."""
    lines = [f"{name + '/':<23}{what}" for name, what in _FOLDERS.items()]
    lines.append("localprompt/")
    package = ROOT / "localprompt"
    for path in sorted(package.iterdir(), key=lambda path: (path.is_dir(), path.name)):
        module = path / "__init__.py" if path.is_dir() else path
        if path.name.startswith("_") or module.suffix != ".py" or not module.is_file():
            continue
        name = path.name + ("/" if path.is_dir() else "")
        lines.append(f"  {name:<21}{_first_line(module)}".rstrip())
    return "\n".join(lines) + "\n"


_FOLDERS = {
    "models": "model cards; no weights in git",
    "prompts": "prompts that work on the starter model, with their cases",
    "benchmarks": "suites, datasets, the peer harness, results that were really measured",
    "docs": "guide, command-line reference, decisions",
    "tests": "as the package is laid out",
}


def _first_line(module: Path) -> str:
    match = re.match(r'"""(.+?)(?:"""|\n)', module.read_text(encoding="utf-8"))
    return match[1] if match else ""


def _sections(command: Any, path: str) -> Iterator[str]:
    context = command.make_context(
        path.rsplit(maxsplit=1)[-1], [], resilient_parsing=True, terminal_width=80
    )
    context.info_name = path
    help_text = command.get_help(context)
    yield f"\n## {path}\n\n```\n{help_text.rstrip()}\n```\n"
    for name, child in getattr(command, "commands", {}).items():
        yield from _sections(child, f"{path} {name}")


def generated() -> dict[Path, Callable[[], str]]:
    """Each generated file and what it should hold."""
    return {
        CLI_REFERENCE: cli_reference,
        README: readme_text,
        PORTUGUESE: portuguese_text,
        ESTIMATES: estimates_text,
        PICTURE: picture,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Write or check the generated documentation.")
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for path, make in generated().items():
        text = make()
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path)
        if not check:
            path.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{'stale' if check else 'wrote'}: {path.relative_to(ROOT)}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
