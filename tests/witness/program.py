#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The witness: clients that read and write during a whole migration and write everything down, and the judge of what
they saw.

    python3 -m tests.witness run --state /var/lib/pi-lab/state.json --service 10.96.0.17 --out history.jsonl \\
        --ready-file ready.json --for 120
    python3 -m tests.witness judge history.jsonl --max-write-pause 15 --json verdict.json
    python3 -m tests.witness detection history.jsonl.gz --final-state history.final.jsonl.gz

`run` ends at --for, at --limit, or cleanly at SIGTERM and SIGINT, and saves the final state beside the history
(history.final.jsonl). SIGUSR1 says that the cutover is near: for a while every route is written to and read ten times
a second and more. `judge` exits 0 for an acquittal, 1 for a conviction, and 3 when the evidence is not enough for
either. `detection` puts short faults into a recorded history and prints how many of them the judge finds. All exit 2
when they cannot do their work.
"""

from __future__ import annotations

import argparse
import gzip
import ipaddress
import json
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from . import detection
from . import judge as court
from .clients import Client, Registry, Settings, Shared, Tempo, Writer, clients, read
from .evidence import Allowance, Demands, Limits, Phase
from .finding import ACQUITTED, CONVICTED, REFUSED
from .history import OK, SERVICE, TABLES, History, Operation, Recorder, load
from .http import REST_PORT, HttpClient, Route, at, parse_route

AGREEMENT_TIMEOUT = 15.0  # for all routes to show the same rows, before and after
POLL = 0.2
# Seconds between two looks, and operations a second of each client, that the published daemon's limit for one address lets through.
SLOW_POLL, SLOW = 2.5, 0.8
# Clients on the machine send from these, a few for each Pi: see tests/lab/network.py.
SOURCES = "10.77.0.128"
SOURCES_PER_PI = 8
EXIT = {ACQUITTED: 0, CONVICTED: 1, REFUSED: 3}
HEADLINES = {ACQUITTED: "ACQUITTED", CONVICTED: "CONVICTED", REFUSED: "REFUSED, NO VERDICT for lack of evidence"}


class Trouble(Exception):
    """What keeps the witness or the judge from working."""


def lab_routes(state_file: Path, service: str | None, rest_port: int) -> list[Route]:
    """Each Pi's own address, and the Service's address from inside each Pi."""
    state = json.loads(state_file.read_text())
    nodes = state["nodes"]
    service = service or state.get("service_address")
    if not service:
        raise Trouble(
            f"{state_file} has no service_address and --service was not given; ask for it with "
            "kubectl -n pi-controller get service pi-controller -o jsonpath={.spec.clusterIP}"
        )
    return [parse_route(f"{SERVICE}={service}@{node['name']}") for node in nodes] + [
        parse_route(f"{node['name']}={at(node['address'], rest_port)}") for node in nodes
    ]


def apart_routes(state_file: Path, rest_port: int) -> list[Route]:
    """Two ways to each Pi: from itself over loopback, where the published daemon sets no limit, and from outside. A Service reaches
    any Pi, so it is not a way to one.
    """
    base = ipaddress.ip_address(SOURCES)
    found: list[Route] = []
    for number, node in enumerate(json.loads(state_file.read_text())["nodes"]):
        outside = parse_route(f"{node['name']}={node['address']}:{rest_port}")
        found += [
            parse_route(f"{node['name']}=127.0.0.1:{rest_port}@{node['name']}"),
            outside._replace(source=str(base + SOURCES_PER_PI * number)),
        ]
    return found


def by_pi(routes: Sequence[Route]) -> dict[str, list[Route]]:
    """The routes by their name."""
    return {
        name: [route for route in routes if route.name == name]
        for name in dict.fromkeys(route.name for route in routes)
    }


def list_everywhere(
    routes: Sequence[Route], baseline: dict[str, dict[str, str]], settings: Settings, timeout: float
) -> list[Operation]:
    """The list of every table through every route, read until all routes show the same rows, or the time is up."""
    deadline = time.monotonic() + timeout
    http = HttpClient(keep_alive=False, connect_timeout=settings.connect_timeout, token=settings.token)
    while True:
        answers = [
            read(http, route, table, None, baseline.get(table, {}), settings, "")
            for route in routes
            for table in TABLES
        ]
        if agree(answers) or time.monotonic() > deadline:
            return answers
        time.sleep(SLOW_POLL if settings.apart else POLL)


def agree(answers: Sequence[Operation]) -> bool:
    shown = {
        (
            answer.table,
            json.dumps([answer.outcome == OK, answer.values, answer.duplicates, answer.foreign], sort_keys=True),
        )
        for answer in answers
    }
    return all(answer.outcome == OK for answer in answers) and len(shown) == len({answer.table for answer in answers})


def take_baseline(routes: Sequence[Route], settings: Settings) -> dict[str, dict[str, str]]:
    """Rows of other owners, as all routes show them: they have to stay as they are."""
    answers = list_everywhere(routes, {}, settings, AGREEMENT_TIMEOUT)
    if not agree(answers):
        seen = "; ".join(
            f"{answer.route} {answer.table}: "
            + (answer.error or f"{len(answer.values or {}) + len(answer.foreign)} rows")
            for answer in answers
        )
        raise Trouble(
            f"routes do not agree on the tables before the start, after {AGREEMENT_TIMEOUT:.0f} s: {seen}; "
            "wanted: the same rows everywhere. Let the cluster settle, or leave out the route that does not answer"
        )
    return {answer.table: {key: row for key, row in answer.foreign.items() if row is not None} for answer in answers}


class Warmth:
    """Tells the world once every client has had its first success."""

    def __init__(self, ready_file: Path | None, run: str) -> None:
        self.ready_file, self.run = ready_file, run
        self.waiting: set[str] = set()
        self.lock = threading.Lock()
        self.since: float | None = None

    def first_success(self, name: str) -> None:
        with self.lock:
            self.waiting.discard(name)
            if self.waiting or self.since is not None:
                return
            self.since = time.time()
        if self.ready_file is not None:
            temporary = self.ready_file.with_name(f".{self.ready_file.name}.{os.getpid()}")
            temporary.write_text(
                json.dumps({"ready": True, "run": self.run, "pid": os.getpid(), "since": self.since}) + "\n"
            )
            temporary.replace(self.ready_file)
        print(f"ready: every client of witness {self.run} has succeeded once", flush=True)


def run(options: argparse.Namespace) -> int:
    settings = Settings(
        options.read_timeout,
        options.write_timeout,
        options.connect_timeout,
        options.rest_port,
        options.token_file.read_text().strip() if options.token_file else "",
        options.apart,
    )
    routes = [parse_route(text) for text in options.route]
    if options.state:
        routes += (
            apart_routes(options.state, options.rest_port)
            if options.apart
            else lab_routes(options.state, options.service, options.rest_port)
        )
    if not routes:
        raise Trouble("no routes: give --state, or --route for each way to the cluster")
    name = secrets.token_hex(3)
    stop = threading.Event()
    tempo = Tempo(options.writes_per_second, options.reads_per_second, options.fast_per_second)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGUSR1, lambda *_: tempo.hurry(options.around))
    if options.ready_file:
        options.ready_file.unlink(missing_ok=True)  # a caller must not take an earlier run's for ours
    clusters = by_pi(routes) if options.apart else {"": routes}
    baselines = {cluster: take_baseline(own, settings) for cluster, own in clusters.items()}
    recorder = Recorder(options.out)
    crashes: list[str] = []

    def crashed(client: str, error: BaseException) -> None:
        crashes.append(f"{client} ({type(error).__name__}: {error})")
        recorder.line("crash", {"client": client, "error": f"{type(error).__name__}: {error}", "at": time.monotonic()})
        stop.set()

    warmth = Warmth(options.ready_file, name)
    shared = Shared(name, routes, recorder, settings, {}, warmth.first_success, crashed, tempo, stop=stop)
    threads: list[Client] = []
    for cluster, own in clusters.items():
        # Who reads through one Pi looks for what was written through it.
        here = replace(shared, routes=own, baseline=baselines[cluster], registry=Registry())
        for part in _by_tempo(here):
            threads += clients(part, first=1 + sum(isinstance(client, Writer) for client in threads))
    warmth.waiting = {client.name for client in threads}
    recorder.header(
        name,
        [route._asdict() for route in routes],
        baselines if options.apart else baselines[""],
        apart=options.apart,
        clients=[client.name for client in threads],
        writers={client.name: client.route.label for client in threads if isinstance(client, Writer)},
    )
    bound = min(options.limit, options.seconds or options.limit)
    print(
        f"witness {name}: {len(threads)} clients, {len(routes)} routes, at most {bound:.0f} s, into {options.out}",
        flush=True,
    )
    for client in threads:
        client.start()
    asked = stop.wait(bound)
    reason = "crash" if crashes else "asked to" if asked else "time is up"
    status = _finish(threads, stop, recorder, settings, warmth, crashes, reason)
    finals = [
        list_everywhere(own, baselines[cluster], settings, options.final_timeout) for cluster, own in clusters.items()
    ]
    path = options.final_state or final_state_beside(options.out)
    path.write_text("".join(json.dumps(operation.to_json()) + "\n" for final in finals for operation in final))
    print(
        f"final state: {path}"
        + ("" if all(map(agree, finals)) else f"; the routes did not agree within {options.final_timeout:g} s"),
        flush=True,
    )
    return status


def _by_tempo(shared: Shared) -> list[Shared]:
    """The clients whose requests the daemon counts are slow; no other ones are."""
    if not shared.settings.apart:
        return [shared]
    counted = [route for route in shared.routes if route.source]
    free = [route for route in shared.routes if not route.source]
    return [replace(shared, routes=free), replace(shared, routes=counted, tempo=Tempo(SLOW, SLOW, SLOW))]


def final_state_beside(history: Path) -> Path:
    """Where the final state of a history is kept: history.final.jsonl for history.jsonl, history.final.jsonl.gz for
    history.jsonl.gz.
    """
    stem, dot, rest = history.name.partition(".")
    return history.with_name(f"{stem}.final{dot}{rest}")


def _finish(
    threads: Sequence[Client],
    stop: threading.Event,
    recorder: Recorder,
    settings: Settings,
    warmth: Warmth,
    crashes: Sequence[str],
    reason: str,
) -> int:
    stop.set()
    deadline = time.monotonic() + settings.write_timeout + settings.connect_timeout
    for client in threads:
        client.join(max(0.0, deadline - time.monotonic()))
    stuck = [client.name for client in threads if client.is_alive()]
    recorder.line(
        "end", {"reason": reason, "at": time.monotonic(), "stuck": stuck, "cpu": round(time.process_time(), 2)}
    )
    print(f"ended ({reason})" + (f", still busy: {', '.join(stuck)}" if stuck else ""), flush=True)
    if crashes:
        print(f"these clients broke: {', '.join(crashes)}", file=sys.stderr)
    if warmth.waiting:
        print(f"these clients never succeeded: {', '.join(sorted(warmth.waiting))}", file=sys.stderr)
    return 1 if crashes or warmth.waiting else 0


def judge(options: argparse.Namespace) -> int:
    limits = Limits(options.max_write_pause, options.max_read_gap, options.max_recovery)
    history = load(options.history)
    final = load_final(options.final_state or final_state_beside(options.history[-1]))
    demands = Demands(options.max_hole, options.max_unknown_share, phases=phases(options, history))
    verdict = court.judge(
        history,
        final,
        staleness=options.staleness,
        allowances=allowances(options, history),
        limits=limits,
        demands=demands,
        ignore_foreign=options.ignore_foreign,
    )
    if options.json:
        options.json.write_text(json.dumps(verdict.to_json(), indent=2) + "\n")
    print(summary(verdict))
    return EXIT[verdict.outcome]


def load_final(path: Path) -> list[Operation] | None:
    """The saved final state; None where there is none."""
    try:
        text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    except FileNotFoundError:
        return None
    try:
        return [Operation(**json.loads(line)) for line in text.splitlines()]
    except (TypeError, ValueError) as error:
        raise Trouble(f"{path}: not the final state of a witness ({error})") from error


def phases(options: argparse.Namespace, history: History) -> tuple[Phase, ...]:
    """The phases of what was watched, as --phases gives them."""
    given = json.loads(options.phases.read_text()) if options.phases else []
    return tuple(
        Phase(phase["name"], history.monotonic(phase["from"]), history.monotonic(phase["to"])) for phase in given
    )


def detect(options: argparse.Namespace) -> int:
    final_path = options.final_state or final_state_beside(options.history)
    final = load_final(final_path)
    if final is None:
        raise Trouble(f"{final_path} is missing; wanted the final state that the run saved beside {options.history}")
    history = load([options.history])
    between = None
    if options.between:
        begin, end = (history.monotonic(moment(text)) for text in options.between)
        between = (begin, end)
    found = detection.probabilities(
        history, final, windows=options.windows, seconds=options.window, seed=options.seed, between=between
    )
    print(detection.table(found))
    worst = min(detection.probability for detection in found)
    return 0 if worst >= options.at_least else 1


def allowances(options: argparse.Namespace, history: History) -> list[Allowance]:
    if len(options.allow_failed_reads_at) != len(options.between):
        raise Trouble(
            "--allow-failed-reads-at and --between come in pairs: an allowance without end would hide an outage"
        )
    unknown = set(options.allow_failed_reads_at) - set(history.routes)
    if unknown:
        raise Trouble(
            f"--allow-failed-reads-at {', '.join(sorted(unknown))}: no such route; the history has {', '.join(history.routes)}"
        )
    given = [
        Allowance(route, history.monotonic(moment(start)), history.monotonic(moment(end)))
        for route, (start, end) in zip(options.allow_failed_reads_at, options.between, strict=True)
    ]
    for entry in json.loads(options.allowances.read_text()) if options.allowances else []:
        if entry["route"].partition("@")[0] not in history.routes:
            raise Trouble(
                f"{options.allowances}: no such route: {entry['route']}; the history has {', '.join(history.routes)}"
            )
        given.append(
            Allowance(
                entry["route"],
                history.monotonic(entry["from"]),
                history.monotonic(entry["to"]),
                bool(entry.get("answered", False)),
                bool(entry.get("stale", False)),
                bool(entry.get("failed", True)),
                bool(entry.get("writes", True)),
            )
        )
    return given


def moment(text: str) -> float:
    """Epoch seconds of epoch seconds or an ISO 8601 time (UTC unless it says otherwise)."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise Trouble(f"--between {text!r}: {error}; wanted epoch seconds or ISO 8601") from error
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)).timestamp()


def summary(verdict: court.Verdict, at_most: int = 4) -> str:
    """The verdict for people; the JSON has all of it."""
    figures = verdict.figures
    reads, writes, pause, limits = figures["reads"], figures["writes"], figures["write_pause"], figures["limits"]
    lines = [
        f"{HEADLINES[verdict.outcome]}: {figures['seconds']} s, {reads['count']} reads, "
        f"{writes['count']} write attempts on {writes['objects']} objects"
        + ("" if figures["ended_cleanly"] else " (the witness was killed)")
    ]
    # By kind and route, so that a hundred failures at one address do not hide the one at another.
    for kind, route in dict.fromkeys((finding.kind, finding.route) for finding in verdict.findings):
        found = [finding for finding in verdict.findings if (finding.kind, finding.route) == (kind, route)]
        lines.append(
            f"  {kind}{f' [{route}]' if route else ''}: {len(found)}"
            + (f", from {found[0].at} to {found[-1].at}" if len(found) > 1 and found[0].at else "")
        )
        lines += [
            "    "
            + f"{finding.at} {finding.client} {finding.text}".strip()
            + (f" (seen {finding.times} times)" if finding.times > 1 else "")
            for finding in found[:at_most]
        ]
        if len(found) > at_most:
            lines.append(f"    ... and {len(found) - at_most} more")
    if verdict.allowed_failed_reads:
        lines.append(f"  failed reads that were allowed: {len(verdict.allowed_failed_reads)}")
    if verdict.allowed_stale_reads:
        lines.append(f"  stale reads that were allowed: {len(verdict.allowed_stale_reads)}")
    lines.append(f"  writes: {_counts(writes)}, longest gap {_span(writes['longest_gap'])}")
    lines.append(f"  longest write pause: {_span(pause)}, {pause['attempts_refused_within']} attempts refused within")
    for route, measured in writes["routes"].items():
        lines.append(f"    {route}: {_counts(measured)}, longest write pause {_span(measured['pause'])}")
    lines.append(f"  reads: {_counts(reads)}, longest gap {_span(reads['longest_gap'])}")
    for route, measured in reads["routes"].items():
        lines.append(f"    {route}: {_counts(measured)}, longest gap {_span(measured['longest_gap'])}")
    lines.append(
        f"  longest recovery: {_span(figures['recovery'])}"
        + (f" at {figures['recovery']['route']}" if figures["recovery"]["route"] else "")
    )
    lines.append(
        f"  limits: write pause {limits['write_pause']:g} s, read gap {limits['read_gap']:g} s, recovery {limits['recovery']:g} s"
    )
    lines += [f"  {pi}: {HEADLINES[outcome]}" for pi, outcome in figures.get("pis", {}).items()]
    older = figures["older_values_seen_by_one_client_at_one_address"]
    lines.append(f"  older values that one client saw at one address: {older}")
    lines.append(f"  the witness itself was at most {figures['witness_late_max_ms']} ms late")
    return "\n".join(lines)


def _counts(measured: dict[str, Any]) -> str:
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in measured["outcomes"].items()) or "none"
    latency = measured["latency_ms"]
    return f"{outcomes}; ms p50 {latency['p50']} p99 {latency['p99']} max {latency['max']}"


def _span(gap: dict[str, Any]) -> str:
    return (
        f"{gap['seconds']} s"
        + (f" from {gap['from']}" if gap["from"] else "")
        + (" (no success ended it)" if gap["open"] else "")
    )


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="witness", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = result.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("run", help="read and write, and record it")
    verb.set_defaults(work=run)
    verb.add_argument("--out", type=Path, required=True, help="the history; must not exist yet")
    verb.add_argument(
        "--state",
        type=Path,
        help="state.json of the lab: gives a route for each Pi, and the Service from inside each Pi",
    )
    verb.add_argument("--service", help="address[:port] of the Service, where the state does not tell")
    verb.add_argument(
        "--route",
        action="append",
        default=[],
        metavar="NAME=HOST:PORT[@NETNS]",
        help=f"a way to the cluster (again for more); {SERVICE!r} is the name of the Service",
    )
    verb.add_argument(
        "--apart",
        action="store_true",
        help="each Pi keeps its data to itself, as the published daemon's does: each route name is judged by itself",
    )
    verb.add_argument("--ready-file", type=Path, help="written once every client had a first success")
    verb.add_argument("--for", dest="seconds", type=float, metavar="SECONDS", help="how long")
    verb.add_argument(
        "--limit", type=float, default=1800, metavar="SECONDS", help="never longer than this (default %(default)s)"
    )
    verb.add_argument("--writes-per-second", type=float, default=2, help="through each route (default %(default)s)")
    verb.add_argument("--reads-per-second", type=float, default=6.25, help="through each route (default %(default)s)")
    verb.add_argument(
        "--fast-per-second",
        type=float,
        default=12.5,
        help="writes, and as many reads, through each route around the cutover and while writes are refused (default %(default)s)",
    )
    verb.add_argument(
        "--around",
        type=float,
        default=20,
        metavar="SECONDS",
        help="how long SIGUSR1 makes it fast (default %(default)s)",
    )
    verb.add_argument("--read-timeout", type=float, default=2, metavar="SECONDS")
    verb.add_argument("--write-timeout", type=float, default=5, metavar="SECONDS")
    verb.add_argument("--connect-timeout", type=float, default=1.5, metavar="SECONDS")
    verb.add_argument("--rest-port", type=int, default=REST_PORT, help="of every Pi, for the leader a follower names")
    verb.add_argument("--token-file", type=Path, help="file with the bearer token")
    verb.add_argument("--final-state", type=Path, help="save the final state here (default: beside the history)")
    verb.add_argument(
        "--final-timeout",
        type=float,
        default=AGREEMENT_TIMEOUT,
        metavar="SECONDS",
        help="for the routes to agree at the end",
    )
    verb = verbs.add_parser("judge", help="judge histories")
    verb.set_defaults(work=judge)
    verb.add_argument("history", type=Path, nargs="+")
    verb.add_argument(
        "--final-state", type=Path, help="the final state that the run saved (default: beside the last history)"
    )
    verb.add_argument(
        "--staleness",
        type=float,
        default=court.STALENESS,
        metavar="SECONDS",
        help="a follower may lag this much (default %(default)s)",
    )
    verb.add_argument("--allow-failed-reads-at", action="append", default=[], metavar="ROUTE")
    verb.add_argument(
        "--between",
        action="append",
        default=[],
        nargs=2,
        metavar=("T1", "T2"),
        help="epoch seconds or ISO 8601, one pair a route",
    )
    verb.add_argument(
        "--allowances",
        type=Path,
        metavar="FILE",
        help="JSON list of {route, from, to (epoch seconds), answered, stale, why}: what inflicted faults explain. Only reads "
        "that got no answer, unless `answered`; older rows than known with `stale`",
    )
    verb.add_argument(
        "--max-write-pause",
        type=float,
        required=True,
        metavar="SECONDS",
        help="convict a longer one, of all writers or through any one route",
    )
    verb.add_argument(
        "--max-read-gap",
        type=float,
        default=15,
        metavar="SECONDS",
        help="convict a longer one on any route (default %(default)s)",
    )
    verb.add_argument(
        "--max-recovery",
        type=float,
        default=30,
        metavar="SECONDS",
        help="convict a longer time from a route's first failed attempt until it is well again (default %(default)s)",
    )
    verb.add_argument(
        "--max-hole",
        type=float,
        default=15,
        metavar="SECONDS",
        help="refuse a verdict when a client did nothing for longer (default %(default)s)",
    )
    verb.add_argument(
        "--max-unknown-share",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="refuse a verdict when more of the writes have an unknown outcome (default %(default)s)",
    )
    verb.add_argument(
        "--phases",
        type=Path,
        metavar="FILE",
        help="JSON list of {name, from, to (epoch seconds)}: refuse a verdict when a client did nothing in one of them, or a "
        "route took no write after the one named cutover",
    )
    verb.add_argument(
        "--ignore-foreign", action="store_true", help="others write to these tables too: do not judge their rows"
    )
    verb.add_argument("--json", type=Path, help="write the whole verdict here")
    verb = verbs.add_parser(
        "detection", help="how likely a short fault on one route, or on all, is found in a history like this one"
    )
    verb.set_defaults(work=detect)
    verb.add_argument("history", type=Path)
    verb.add_argument(
        "--final-state", type=Path, help="the final state that the run saved (default: beside the history)"
    )
    verb.add_argument("--windows", type=int, default=300, help="faults of each kind (default %(default)s)")
    verb.add_argument(
        "--window", type=float, default=0.1, metavar="SECONDS", help="how long each lasts (default %(default)s)"
    )
    verb.add_argument(
        "--between",
        nargs=2,
        metavar=("T1", "T2"),
        help="epoch seconds or ISO 8601 (default: where the history is fast)",
    )
    verb.add_argument("--seed", type=int, default=1)
    verb.add_argument(
        "--at-least", type=float, default=0.95, metavar="PROBABILITY", help="fail below this (default %(default)s)"
    )
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        return int(options.work(options))
    except (Trouble, ValueError, OSError) as error:
        print(f"witness {options.verb}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
