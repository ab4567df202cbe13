"""The doors of the program, each with what comes through it."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from tests.adversarial import files, models, peers
from tests.adversarial.harness import Zygote
from tests.adversarial.hostile import (
    NUMBERS,
    SCALARS,
    TEMPLATES,
    TEXTS,
    Places,
    as_json,
    spoiled,
    spoiled_value,
)
from tests.adversarial.inputs import FAST, Try
from tests.adversarial.seeds import BENCH, CARD, CSV, JSONL, PRICES, PROMPT, SUITE, TASK

_LONG = frozenset(
    {"tune", "evidence", "contrast", "bench", "choose", "finetune", "improve", "serve", "chat"}
    | {"--measure"}
)
"""Commands and options that may take as long as they like, as long as Ctrl-C ends them."""
_NEVER = frozenset(
    {("models", "pull"), ("cluster", "worker"), ("cluster", "check"), ("cluster", "scheduler")}
)
"""They would reach for a network."""


def command_lines(rng: random.Random, zygote: Zygote, places: Places) -> Iterator[Try]:
    """Every command with its own options and values that nobody would type."""
    commands = list(_commands())
    files = ("suite.yaml", "prompts/say.prompty", "rows.csv", "cases.jsonl", "bench.yaml")
    while True:
        path, parameters = rng.choice(commands)
        arguments = list(path)
        wanted = [p for p in parameters if p.param_type_name == "argument" or rng.random() < 0.15]
        for parameter in wanted:
            value = _value(rng, parameter, places, files)
            if parameter.param_type_name == "argument":
                arguments += value if rng.random() < 0.9 else []
            elif getattr(parameter, "is_flag", False):
                arguments.append(rng.choice([*parameter.opts, *parameter.secondary_opts]))
            else:
                arguments += [rng.choice(parameter.opts), *value]
        if {"--max-tokens", "--threads", "-m"}.issubset({o for p in parameters for o in p.opts}):
            arguments += [*FAST, *(("-m", "tiny") if rng.random() < 0.7 else ())]
        clean = [argument.replace("\0", "") for argument in arguments]
        long = bool(_LONG.intersection((*path, *clean))) or "--watch" in clean
        yield Try(clean, rng.choice(("", "", "text", "\udcff", "x" * 100_000)), long)


def _commands() -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    import typer.main

    from localprompt.cli.app import build_app

    def below(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
        for name, inner in sorted(getattr(command, "commands", {}).items()):
            if (*path, name) not in _NEVER:
                yield from below(inner, (*path, name))
        if not getattr(command, "commands", {}):
            yield path, [p for p in command.params if p.name not in {"help", "_version"}]

    yield from below(typer.main.get_command(build_app()), ())


def _value(rng: random.Random, parameter: Any, places: Places, files: tuple[str, ...]) -> list[str]:
    kind = type(parameter.type).__name__.lower()
    if rng.random() < 0.15:
        return [rng.choice(TEXTS)]
    if "int" in kind or "float" in kind:
        return [rng.choice(NUMBERS)]
    if "path" in kind:
        return [places.any(rng, files)]
    usual = ("tiny", "say", "last", "suite.yaml", "text=red", "q4_0", "pass_rate<0.5", "json")
    return [rng.choice((*usual, *TEXTS, *NUMBERS, places.any(rng, files)))]


def prompt_files(rng: random.Random, zygote: Zygote, places: Places) -> Iterator[Try]:
    """Prompt files with a wrong front matter or a hostile template."""
    del places
    file = zygote.work / "prompts" / "tried.prompty"
    splices = (*SCALARS, *TEMPLATES, *TEXTS)
    while True:
        file.write_bytes(spoiled(rng, PROMPT, splices))
        command = rng.choice(
            (
                ["run", str(file), "-p", "text=red", "-m", "tiny", *FAST],
                ["prompts", "show", str(file), "-p", f"text={rng.choice(TEXTS)}", "-m", "tiny"],
                ["prompts", "lint", str(file)],
                ["prompts", "lint", "--fix", str(file)],
                ["prompts", "list"],
                ["eval", str(file), "-m", "tiny", *FAST, "--limit", "2", "--allow-outside"],
            )
        )
        yield Try([a.replace("\0", "") for a in command], file=file)


def suites(rng: random.Random, zygote: Zygote, places: Places) -> Iterator[Try]:
    """Suites, and benches, with constructs of every kind in wrong places."""
    del places
    splices = (*SCALARS, *TEMPLATES, *TEXTS, "file:///etc/passwd", "file:///dev/zero",
               "file://**/*", "{$ref: '#/tests'}", "file://pipe", "exec:sh", "javascript",
               "file://x.js", "[a, b]", "{type: regex, value: '(a+)+$'}", "!function utils.f",
               "generate_until", "loglikelihood", "json")  # fmt: skip
    while True:
        bench = rng.random() < 0.15
        file = zygote.work / ("tried-bench.yaml" if bench else "tried.yaml")
        seed = TASK if rng.random() < 0.3 else SUITE
        file.write_bytes(spoiled(rng, BENCH if bench else seed, splices))
        name = "bench" if bench else "eval"
        command = [name, str(file), *(() if bench else (*FAST, "--limit", "3"))]
        if not bench:
            command += rng.choice(((), ("--plan",), ("--allow-code",), ("--skip-bad-rows",)))
        yield Try(command, long=bench, file=file)


def datasets(rng: random.Random, zygote: Zygote, places: Places) -> Iterator[Try]:
    """Rows that do not follow their format."""
    del places
    splices = (*TEXTS, '"', '""', '"\n', "[[" * 300, "{" * 300, '{"a":1,"a":2}', "\x00", "NaN",
               '"\\ud800"', "-Infinity", "9" * 4301, "1e999", "\ufeff", "\r")  # fmt: skip
    seeds = {".csv": CSV, ".jsonl": JSONL, ".json": f"[{JSONL.strip().replace(chr(10), ',')}]",
             ".yaml": "- {text: red, expected: red}\n- text: blue\n"}  # fmt: skip
    while True:
        suffix = rng.choice(list(seeds))
        file = zygote.work / f"tried{suffix}"
        file.write_bytes(spoiled(rng, seeds[suffix], (*splices, *SCALARS)))
        extra = rng.choice(((), ("--skip-bad-rows",), ("--lenient",), ("--scoring", "generate")))
        command = ["eval", "say", "--cases", str(file), "-m", "tiny", *FAST, "--limit", "3", *extra]
        yield Try(command, file=file)


def model_files(rng: random.Random, zygote: Zygote, places: Places) -> Iterator[Try]:
    """GGUF files with something wrong in them, shown, added and asked."""
    del places
    file = zygote.work / "tried.gguf"
    while True:
        file.unlink(missing_ok=True)
        file.write_bytes(models.mutated(rng))
        command = rng.choice(
            (
                ["models", "show", str(file)],
                ["models", "add", str(file), "--name", "tried"],
                *[["ask", "ab c", "-m", str(file), "--no-prefix-store", *FAST]] * 6,
                ["models", "quantize", str(file), "--to", "q4_0", "--force"],
                ["prompts", "show", "say", "-p", "text=red", "-m", str(file)],
            )
        )
        yield Try(command, file=file)


def small_files(rng: random.Random, zygote: Zygote, places: Places) -> Iterator[Try]:
    """What single options read: prices, templates, cards, results, texts, keys."""
    file = zygote.work / "tried.txt"
    card = zygote.home / "models" / "other.toml"
    while True:
        seed = rng.choice((PRICES, CARD, JSONL, "user: {{ messages }}", "{}", "text " * 50))
        file.write_bytes(spoiled(rng, seed, (*TEXTS, *TEMPLATES, *SCALARS, "[x]", 'a = """')))
        path = places.any(rng, (str(file),) * 3)
        card.unlink(missing_ok=True)
        if rng.random() < 0.2:
            shutil.copy(file, card)
        yield Try(
            rng.choice(
                (
                    ["models", "list"],
                    ["ask", "hi", "-m", "tiny", "--chat-template", path, *FAST],
                    ["finetune", "estimate", "--shape", "smollm2-135m", "--prices", path],
                    ["evidence", "--from", path],
                    ["contrast", "--from", path],
                    ["models", "quality", "tiny", "--text", path, "--n-ctx", "32"],
                    ["run", "say", "-m", "tiny", "-p", f"text=@{path}", *FAST],
                    ["bundle", "verify", path],
                    ["bundle", "verify", "bundle.tar", "--key", path],
                    ["eval", path, *FAST],
                    ["models", "show", path],
                    ["prompts", "show", path, "-m", "tiny"],
                )
            ),
            file=file,
            long=True,
        )


def bundles(rng: random.Random, zygote: Zygote, places: Places) -> Iterator[Try]:
    """Archives of ours with bytes turned, cut off or put in."""
    del places
    whole = zygote.work / "bundle.tar"
    zygote.run("models", "bundle", "tiny", "-o", str(whole), "--prompts", "prompts")
    data = whole.read_bytes() if whole.is_file() else bytes(2048)
    file = zygote.work / "tried.tar"
    far = {"LOCALPROMPT_HOME": str(zygote.folder / "far")}
    del far  # an installation over the same home has more to lose
    while True:
        broken = bytearray(data)
        for _ in range(rng.choice((1, 2, 5))):
            kind, at = rng.randrange(4), rng.randrange(len(broken) - 600)
            if kind == 0:
                broken[at] ^= 1 << rng.randrange(8)
            elif kind == 1:
                del broken[at : at + rng.choice((1, 512, 5000))]
            elif kind == 2:
                broken[at:at] = rng.choice((b"x", bytes(512), bytes(broken[:512])))
            else:
                block = at // 512 * 512
                broken[block + rng.randrange(512)] = rng.randrange(256)
            if len(broken) < 2000:
                break
        file.write_bytes(bytes(broken))
        command = rng.choice((["bundle", "verify", str(file)], ["bundle", "install", str(file)]))
        yield Try(command, file=file)


def histories(rng: random.Random, zygote: Zygote, places: Places) -> Iterator[Try]:
    """A database with damaged pages, or with records that are none."""
    del places
    for command in (
        ["run", "say", "-p", "text=red", "-m", "tiny", *FAST],
        ["ask", "And?", "--continue", "last", *FAST],
        ["eval", "suite.yaml", "-m", "tiny", *FAST],
        ["bench", "say", "-p", "text=x", "-m", "tiny", "--threads", "1", "-r", "2", "-y", "-q"],
    ):
        zygote.run(*command)
    file, page = zygote.home / "history.db", str(zygote.work / "report.html")
    with closing(sqlite3.connect(file)) as database:
        database.execute("pragma wal_checkpoint(truncate)")
    sound = file.read_bytes()
    commands = (
        ["runs", "list"], ["runs", "show", "last"], ["runs", "stats"], ["runs", "repeat", "last"],
        ["runs", "export", "--format", "json"], ["runs", "export", "-f", "csv"],
        ["runs", "prune", "--keep-last", "1"], ["report", "-o", page], ["report", "last", "last~1"],
        ["ask", "hi", "-m", "tiny", *FAST], ["ask", "hi", "--continue", "last ask", *FAST],
        ["run", "--again", "last run", *FAST], ["runs", "show", "last eval", "--failures"],
        ["runs", "show", "last eval"], ["runs", "show", "last bench"], ["runs", "list", "-g", "a"],
        ["eval", "--resume", "last"], ["bench", "--resume", "last"], ["compare", "last eval"],
        ["report", "last eval", "-o", page], ["report", "last bench", "-o", page],
        ["eval", "suite.yaml", "-m", "tiny", "--filter-failing", *FAST],
    )  # fmt: skip
    while True:
        for part in zygote.home.glob("history.db*"):
            part.unlink()
        broken = bytearray(sound)
        kind = rng.randrange(4)
        if kind == 0:
            for _ in range(rng.choice((1, 5, 50))):
                broken[rng.randrange(len(broken))] = rng.randrange(256)
            file.write_bytes(bytes(broken[: rng.choice((len(broken), 5000, 100, 0))]))
        else:
            file.write_bytes(sound)
            (_spoil_column if kind == 1 else _spoil_record)(rng, file)
        yield Try(rng.choice(commands), file=file)


def _spoil_column(rng: random.Random, file: Path) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        found = database.execute("select name from sqlite_master where type = 'table'").fetchall()
        tables = [name for (name,) in found if not name.startswith("sqlite_")]
        table = rng.choice(tables)
        columns = [row[1] for row in database.execute(f"pragma table_info({table})")]
        value = rng.choice(
            (None, "", "{", "[]", "{}", "x" * 100, -1, 2**62, b"\xff\x00", '{"id":1}')
        )
        try:
            column = rng.choice(columns)
            database.execute(f"update {table} set {column} = ?", (value,))
        except sqlite3.Error:
            database.execute("pragma user_version = 9999")


def _spoil_record(rng: random.Random, file: Path) -> None:
    """One thing wrong inside one record, whose id stays."""
    table = rng.choice(("runs", "experiments", "experiments", "eval_results", "eval_model_uses"))
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("pragma ignore_check_constraints = on")
        rows = database.execute(f"select rowid, record from {table}").fetchall()
        if not rows:
            return
        row, record = rng.choice(rows)
        with suppress(sqlite3.Error):
            spoiled_record = as_json(spoiled_value(rng, json.loads(record))).decode()
            database.execute(
                f"update {table} set record = ? where rowid = ?", (spoiled_record, row)
            )


def conversations(rng: random.Random, zygote: Zygote, places: Places) -> Iterator[Try]:
    """Lines that nobody would type, commands among them, and kept states that were damaged."""
    del places
    words = ("/undo", "/retry", "/system", "/model", "/save", "/tokens", "/help", "//", "/exit")
    while True:
        lines = []
        for _ in range(rng.choice((1, 2, 4))):
            text = rng.choice(TEXTS).replace("\0", "")
            kind = rng.randrange(4)
            said = (text, f"{rng.choice(words)} {text}", f"{text}\\", f'"""\n{text}\n"""')[kind]
            lines.append(said)
        for state in (zygote.home / "cache" / "prefixes").glob("*.turn"):
            data = bytearray(state.read_bytes() or b"x")
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            state.write_bytes(bytes(data[: rng.choice((len(data), 20, 0))]))
        go_on = rng.choice(([], ["--continue"], ["--continue", "last~1"]))
        yield Try(["chat", "-m", "tiny", *go_on, *FAST], stdin="\n".join(lines), long=True)


def adapters(rng: random.Random, zygote: Zygote, places: Places) -> Iterator[Try]:
    """LoRA adapters with something wrong."""
    del places
    file = zygote.work / "tried.gguf"
    while True:
        file.write_bytes(models.mutated_adapter(rng))
        scale = rng.choice(("", ":0.5", ":-3", ":1e3", ":nan", ":"))
        yield Try(
            rng.choice(
                (
                    ["ask", "hi", "-m", "tiny", "--lora", f"{file}{scale}", *FAST],
                    ["models", "add", str(file), "--name", "style"],
                )
            ),
            file=file,
        )


AREAS = {
    "conversations": conversations,
    "adapters": adapters,
    "command lines": command_lines,
    "prompt files": prompt_files,
    "suites": suites,
    "datasets": datasets,
    "model files": model_files,
    "small files": small_files,
    "bundles": bundles,
    "histories": histories,
    "constraints": files.constraints,
    "searches": files.searches,
    "trainings": files.trainings,
    "tables": files.tables,
    "parts": files.parts,
    "scripts": files.scripts,
    "results": files.results,
    "homes": files.homes,
    "pages": peers.pages,
    "clusters": peers.clusters,
}
