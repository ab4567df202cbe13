"""What the local page costs: start, first page over 100,000 runs, lists, memory, many requests.

    python benchmarks/serve.py [--runs 100000] [--seconds 20] > result.json

The history is made in a folder of its own and removed. Times of pages are medians over ``--times``
requests after one that warms up; the first page after a start is measured over ``--starts`` of
them. ``--model NAME`` also answers with that model, in turns with ``localprompt ask`` in the same
home, and compares decode rates; and says how long a first text takes from the engine to a reader.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import psutil

from localprompt.records.run import RunRecord
from localprompt.store.history import History

_MIB = 1024**2


class Browser:
    """A keep-alive connection with the cookie."""

    def __init__(self, address: str) -> None:
        found = re.fullmatch(r"http://(127\.0\.0\.1:\d+)/\?key=(\S+)", address)
        assert found, address
        self.place, self.cookie = found[1], ""
        self.connection = http.client.HTTPConnection(self.place, timeout=120)
        self.cookie = self.get(f"/?key={found[2]}")[1]["set-cookie"].partition(";")[0]

    def get(self, path: str) -> tuple[int, dict[str, str], str]:
        return self.ask("GET", path)

    def ask(
        self, method: str, path: str, fields: Any = None, *, fresh: bool = False
    ) -> tuple[int, dict[str, str], str]:
        headers = {"Cookie": self.cookie} if self.cookie else {}
        if method == "POST":
            headers["Origin"] = f"http://{self.place}"
        body = None if fields is None else urlencode(fields)
        if fresh:
            self.connection.close()
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        text = answer.read().decode()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, text


@contextmanager
def server() -> Iterator[tuple[subprocess.Popen[str], str, float]]:
    """A server, its address, and the seconds until it said it."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "localprompt", "serve", "--port", "0", "--no-open"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    address = next(line for line in process.stderr if "key=" in line).strip()
    try:
        yield process, address, time.perf_counter() - began
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
        process.stderr.close()


def cpu_seconds(process: subprocess.Popen[str]) -> float:
    """User and system; the machine's other work is not in it."""
    times = psutil.Process(process.pid).cpu_times()
    return float(times.user + times.system)


def median_ms(call: Callable[[], Any], times: int) -> dict[str, float]:
    call()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append(1000 * (time.perf_counter() - began))
    return {
        "median_ms": round(statistics.median(taken), 2),
        "n": times,
        "max_ms": round(max(taken), 2),
    }


def fill(template: RunRecord, runs: int) -> None:
    """A history of so many runs, like one that was made."""
    letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    with History() as history:
        history.record(template)
        connection = history._connection
        connection.execute("BEGIN")
        for number in range(runs):
            tail, n = "", number
            for _ in range(6):
                tail, n = letters[n % 32] + tail, n // 32
            record = msgspec.structs.replace(template, id=template.id[:20] + tail)
            connection.execute(
                "INSERT OR IGNORE INTO runs (id, record) VALUES (?, ?)",
                (record.id, msgspec.json.encode(record).decode()),
            )
        connection.execute("COMMIT")


def flood(address: Browser, per_second: int, seconds: float) -> dict[str, Any]:
    """So many requests a second from 16 connections; what came back, and how late."""
    places = [http.client.HTTPConnection(address.place, timeout=30) for _ in range(16)]
    headers = {"Cookie": address.cookie}
    began = time.perf_counter()

    def one(connection: http.client.HTTPConnection, offset: int) -> list[tuple[int, float]]:
        got = []
        for number in range(offset, int(per_second * seconds), len(places)):
            due = began + number / per_second
            time.sleep(max(0.0, due - time.perf_counter()))
            connection.request("GET", "/runs", headers=headers)
            answer = connection.getresponse()
            answer.read()
            got.append((answer.status, 1000 * (time.perf_counter() - due)))
        return got

    with concurrent.futures.ThreadPoolExecutor(len(places)) as pool:
        results = [r for part in pool.map(one, places, range(len(places))) for r in part]
    late = sorted(late for _, late in results)
    return {
        "asked_per_second": per_second,
        "answered_per_second": round(len(results) / (time.perf_counter() - began), 1),
        "not_200": sum(status != 200 for status, _ in results),
        "p50_ms": round(late[len(late) // 2], 1),
        "p99_ms": round(late[int(len(late) * 0.99)], 1),
    }


TEXT, MOST = "Describe the sea in a hundred words.", "96"


def decode(browser: Browser, model: str, times: int) -> dict[str, Any]:
    """Decode rates of the same prompt on the page and by ``localprompt ask``, in turns; who comes
    first changes from pair to pair."""
    pairs = []
    for number in range(times):
        sides = [lambda: on_the_page(browser, model), lambda: by_the_command(model)]
        rates = [sides[side]() for side in ((0, 1) if number % 2 else (1, 0))]
        page, command = rates if number % 2 else reversed(rates)
        pairs.append((page, command))
    ratios = [page / command for page, command in pairs]
    return {
        "page_tokens_per_second": round(statistics.median(page for page, _ in pairs), 1),
        "ask_tokens_per_second": round(statistics.median(ask for _, ask in pairs), 1),
        "ratio_of_pairs": round(statistics.median(ratios), 3),
        "n": times,
        "pairs": [round(ratio, 3) for ratio in ratios],
    }


def on_the_page(browser: Browser, model: str) -> float:
    form = [("model", model), ("text", TEXT), ("max_tokens", MOST)]
    _, _, html = browser.ask("POST", "/try", form, fresh=True)  # servers close what has been idle
    found = re.search(r'data-job="(\w+)"', html)
    assert found, html
    _, _, events = browser.get(f"/jobs/{found[1]}/events")
    run_id = json.loads(events.strip().rsplit("data: ", 1)[1])
    record = json.loads(browser.get(f"/runs/{run_id}/json")[2])
    return float(record["timing"]["decode_tokens_per_second"])


def by_the_command(model: str) -> float:
    done = subprocess.run(
        [sys.executable, "-m", "localprompt", "ask", TEXT, "-m", model, "--max-tokens", MOST,
         "--json", "--no-log"],
        capture_output=True, check=True, text=True,
    )  # fmt: skip
    return float(json.loads(done.stdout)["timing"]["decode_tokens_per_second"])


def first_token(model: str, times: int) -> dict[str, Any]:
    """From the moment in which the engine had the first text to the one in which a client of the
    page read it. The server runs in this process, so that both are known; the engine has a process
    of its own, as always. The clock is the one that processes of a machine share."""
    from localprompt.web.app import build_app
    from localprompt.web.guard import Keys
    from localprompt.web.host import Host
    from localprompt.web.server import listener_on, server_of

    host, keys, listener = Host(), Keys(), listener_on("127.0.0.1", 0)
    place = f"127.0.0.1:{listener.getsockname()[1]}"
    serving = server_of(build_app(host, frozenset({place}), keys))
    thread = threading.Thread(target=serving.run, kwargs={"sockets": [listener]})
    thread.start()
    while not serving.started:
        time.sleep(0.01)
    taken = []
    try:
        browser = Browser(f"http://{place}/?key={keys.current}")
        for _ in range(times + 1):
            form = [("model", model), ("text", TEXT), ("max_tokens", "8")]
            found = re.search(r'data-job="(\w+)"', browser.ask("POST", "/try", form)[2])
            assert found
            headers = {"Cookie": browser.cookie}
            browser.connection.request("GET", f"/jobs/{found[1]}/events", headers=headers)
            answer = browser.connection.getresponse()
            while answer.readline().strip() != b"event: piece":
                pass
            arrived = time.perf_counter()
            answer.read()
            job = host.job(found[1])
            assert job is not None
            had = next(event.seconds for event in job.events if event.kind == "piece")
            assert had is not None
            taken.append(1000 * (arrived - had))
    finally:
        serving.should_exit = True
        thread.join()
        host.close()
    taken = taken[1:]  # the first opens the model
    return {
        "median_ms": round(statistics.median(taken), 2),
        "n": times,
        "max_ms": round(max(taken), 2),
    }


@contextmanager
def filled_home(runs: int, kept: Path | None) -> Iterator[None]:
    """A home with so many runs, and the weights of the present one; removed, unless it is kept."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.sample_runs import make_run

    weights = Path(os.environ.get("LOCALPROMPT_HOME", "")) / "models"
    with tempfile.TemporaryDirectory() as folder:
        home = kept or Path(folder)
        os.environ["LOCALPROMPT_HOME"] = str(home)
        if not (home / "history.db").exists():
            home.mkdir(parents=True, exist_ok=True)
            if weights.is_dir():
                (home / "models").symlink_to(weights.resolve())
            fill(make_run(), runs)
        yield


def starts_and_first_pages(times: int) -> dict[str, Any]:
    starts, firsts, start_cpu, first_cpu = [], [], [], []
    for _ in range(times):
        with server() as (process, address, seconds):
            starts.append(seconds)
            start_cpu.append(cpu_seconds(process))
            browser = Browser(address)
            began, spent = time.perf_counter(), cpu_seconds(process)
            assert browser.get("/runs")[0] == 200
            firsts.append(1000 * (time.perf_counter() - began))
            first_cpu.append(1000 * (cpu_seconds(process) - spent))
    return {
        "start_seconds": {"median": round(statistics.median(starts), 3), "n": times},
        "first_page_ms": {"median": round(statistics.median(firsts), 1), "n": times},
        "start_cpu_seconds": round(statistics.median(start_cpu), 3),
        "first_page_cpu_ms": round(statistics.median(first_cpu), 1),
    }


def pages_and_flood(wanted: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with server() as (process, address, _):
        browser = Browser(address)

        def resident() -> float:
            return round(psutil.Process(process.pid).memory_info().rss / _MIB, 1)

        found["idle_rss_mib"] = resident()
        more = re.search(r'hx-get="(/runs[^"]+)"', browser.get("/runs")[2])
        assert more
        deep = re.sub(r"before=(\w{20})\w+", r"before=\g<1>000100", more[1])
        deep = deep.replace("&amp;", "&")
        # What is asked again unchanged is kept; another filter each time is not.
        numbers = iter(range(1_000_000))
        found["runs_first_page"] = median_ms(
            lambda: browser.get(f"/runs?again={next(numbers)}"), wanted.times
        )
        found["runs_last_page"] = median_ms(
            lambda: browser.get(f"{deep}&again={next(numbers)}"), wanted.times
        )
        found["runs_again"] = median_ms(lambda: browser.get("/runs"), wanted.times)
        found["try_page"] = median_ms(lambda: browser.get("/"), wanted.times)
        found["flood"] = flood(browser, 200, wanted.seconds)
        found["rss_after_mib"] = resident()
        if wanted.model:
            found["decode"] = decode(browser, wanted.model, wanted.pairs)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--model")
    parser.add_argument("--home", type=Path, help="keep the history here, and use it again")
    parser.add_argument("--fill", action="store_true", help="only make the history")
    wanted = parser.parse_args()
    with filled_home(wanted.runs, wanted.home):
        if wanted.fill:
            return
        found = {"runs": wanted.runs, **starts_and_first_pages(wanted.starts)}
        found |= pages_and_flood(wanted)
        if wanted.model:
            found["first_token"] = first_token(wanted.model, wanted.times)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
